"""Turns of phrase that give a text's purpose away: leaving, fault, request, question, and the words of feelings."""

import re
from typing import Final

PURPOSES: Final[dict[str, str]] = {
    "leaving": (
        r"\b(?:i'm|i am|we're|we are|they're) (?:leaving|quitting|cancell?ing|switching|gone|out(?! of)|off"
        r"|done|through|moving out)\b|\b(?:leav\w+|quit\w*|cancel\w*|terminat\w+|clos\w+|end\w*"
        r"|resign\w*) (?:\w+ ){0,2}(?:contract|membership|subscription|account|plan|policy|lease|bank|club"
        r"|card|service|gym|agreement|everything)\b|\b(?:not|never|won't|don't|isn't|nor"
        r"|no way \w+) (?:\w+ ){0,4}(?:com(?:e|ing) back|back|return\w*|again|renew\w*|extend\w*|set foot"
        r"|another (?:cent|penny|euro|dollar|pound))\b|\bnever again\b|\bwant out\b|\blost (?:a|me|us"
        r"|another) ?(?:as )?(?:a )?(?:loyal |good |regular )?customers?\b|\blast (?:time|visit|order"
        r"|appointment|purchase|straw)\b"
    ),
    "elsewhere": (
        r"\b(?:switch\w*|mov\w+|go|going|goes|went|take|taking|try\w*|find|found|look\w*|us\w+|book\w*|buy\w*"
        r"|shop\w*|spend|sign\w*|join\w*|prefer|chang\w+|get|getting|pay|give|order\w*|starts?"
        r"|drive) (?:\w+ ){0,5}(?:elsewhere|somewhere else|some ?(?:body|one) else"
        r"|(?:an)?other (?:\w+ ){0,2}\w+|different (?:place|\w+)|competit\w+|competition|rivals?"
        r"|across the (?:road|street)|(?:at|from) home|(?:the )?internet|online)\b|\bfrom now on\b"
        r"|\bcompetit\w+\b|\bcheaper (?:provider|option|place|one)\b|\bbetter (?:options|places|offers?"
        r"|deal)\b|\belsewhere\b|\bused to (?:come|go|be|shop|buy|love|order)\b"
        r"|\bstopp?(?:ed)? (?:\w+ )?(?:ordering|coming|going|buying|shopping|using)\b|\buninstall\w*\b"
        r"|\bdelet\w+ (?:\w+ ){0,2}(?:app|account|it)\b|\bdone with (?:you|this|the|them|your)\b"
    ),
    "ultimatum": (
        r"\bif (?:\w+ ){1,8}(?:cancel|leave|find|quit|switch|gone|go|order|move)\b"
        r"|\bone more (?:\w+ ){0,4}(?:and|then)\b|\bone more time\b|\buntil (?:\w+ ){1,3}(?:and then|or)\b"
        r"|\breason to stay\b|\bonly staying\b|\bthinking (?:of|about) (?:leaving|quitting|cancell?ing"
        r"|switching|changing|moving)\b|\blooking around\b|\btempted to\b"
    ),
    "fault": (
        r"\b(?:broken?|broke|faulty|defective|damaged|crack(?:ed|s)|torn|split|leak(?:s|ing|ed)?|jammed|stuck"
        r"|froze|frozen|freez(?:es|ing)|crash(?:ed|es|ing)?|error|errors|bugs?|glitch\w*|flicker\w*|blocked"
        r"|clogged|expired|out of order|out of service|dead|not working|stopped working|malfunction\w*|blank"
        r"|melted|in pieces|fell (?:off|apart)|came off|double (?:billed|charged)|overcharged|disappeared"
        r"|vanished|went (?:black|off)|swallowed|buffers?|buffering|rattl\w+|drips?|dripping|mould|moldy"
        r"|mouldy)\b|\b(?:doesn't|does not|don't|do not|didn't|did not|won't|will not|can't|cannot|couldn't"
        r"|isn't|never|not) (?:even |really |always )?(?:work\w*|load\w*|open|close|start|turn|flush|react\w*"
        r"|respond\w*|charge|print\w*|scan|connect|log|arriv\w*|accept\w*|show up|fit|heat|switch)\b"
        r"|\bnothing (?:came out|happen\w*|comes out)\b|\bno (?:sound|water|light|signal|heating|hot water"
        r"|power|record)\b|\bkeeps? (?:\w+ )?\w+ing\b"
    ),
    "wrong": (
        r"\b(?:wrong|missing|incorrect|mixed up|lost my|lost our|instead of|twice|never (?:got|arrived"
        r"|received|came)|not what i ordered|charged (?:me )?(?:for )?(?:one|two|three|four|five|six|seven"
        r"|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|ninety|hundred|\d+)|gave (?:me"
        r"|us) no|without (?:a|the|its)|shut down|logs? me out|logged (?:me )?out|turns? (?:itself"
        r"|themselves) off|ate my|took my)\b"
    ),
    "request": (
        r"\b(?:i wish|we wish|wish you|would be (?:nice|great|good|cool|lovely|helpful|perfect|amazing|handy"
        r"|appreciated|fair|useful)|it'd be|would help|would love|we'd love|i'd love|i'd like|i would like"
        r"|we would like|we'd like|would like to see|should (?:have|offer|add|be|open|get|make|put|do|speak"
        r"|provide|install|sell)|you should|you could|could you (?:please )?(?:add|make|turn|put|bring|open"
        r"|offer|send|get|sell|have|install)|can (?:you|we) (?:please )?(?:add|have|get|make|put|bring|offer"
        r"|open)|please (?:add|open|make|bring|put|offer|let|turn|install|provide|get|consider|fix|allow|have"
        r"|do|keep|sell)|needs? (?:a|an|some|more|better|to (?:be|have))|need (?:more|better|a|an)|add (?:a|an"
        r"|some|more|one)|bring back|put in|put up|let (?:us|people|me)|give us|get rid of|stop sending"
        r"|how about|what about (?:a|an|some)|consider|suggest\w*|suggestion|any chance"
        r"|if (?:only )?(?:there (?:was|were)|you (?:had|offered|could|rented|did|sold))|if only|ought to"
        r"|missing here|more \w+(?: \w+)?(?: \w+)? please|maybe (?:you|a|an|some|add)|perhaps (?:you|a|an"
        r"|some)|could use|longer opening|make it (?:possible|larger|easier|bigger)|why don't you|why not"
        r"|it's time you|my (?:only )?wish|i'd pay|would come more|ever thought)\b|^(?:more|add|put|make|let"
        r"|give|please|bring|introduce|install)\b"
    ),
    "question": (
        r"^(?:(?:so|um|uh|hello|hi|hey|excuse me|sorry|and|well|yes|okay|hi there) )*(?:what|what's|where|when"
        r"|who|who's|which|how|why|is|are|do|does|did|can|could|may|am|has|have|will|would|any idea)\b"
        r"|\b(?:i(?:'m| am| was| am just|'m just)? wondering|wonder (?:if|whether|when|how)|can (?:you"
        r"|somebody|someone|anyone) (?:please )?(?:tell|explain|help)|could you (?:please )?tell"
        r"|want(?:ed)? to (?:know|ask)|like to (?:know|ask)|need to know|forgot to ask|tell me (?:if|whether"
        r"|when|where|how|what|who)|any idea|no (?:idea|clue) (?:how|where|when|what|which|who|if)"
        r"|not sure (?:how|where|when|what|which|who|if|whether)|don't (?:know|understand) (?:how|where|when"
        r"|what|which|who|if|whether)|just checking|is that (?:true|normal|right|correct)|should i"
        r"|do i (?:need|have)|how (?:much|many|long|old|do i|does|can i)|what time|does anyone|do you (?:have"
        r"|sell|ship|accept|know|offer|take|reckon)|are there|is there (?:a|an|any)|doesn't say|couldn't find"
        r"|looking for|asking (?:myself|ourselves)|which (?:day|floor|way|hall))\b"
    ),
    "complaint": (
        r"\b(?:rude|unfriendly|slow|waited|waiting|queue|line was|wait time|expensive|overpriced|price went up"
        r"|dirty|filthy|cold|loud|noisy|ignored|nobody (?:helped|answers|cares|came|told|asked|knows)"
        r"|no one (?:helped|answers|came|told|cares)|rolled|shouted|yelled|laughed at|too (?:\w+ )?(?:loud"
        r"|expensive|salty|slow|cold|hot|long|small|much|late|dark|crowded)"
        r"|took (?:you )?(?:\w+ ){1,3}(?:weeks|months|hours|days|year)|an hour|hours|how many times"
        r"|you call that|shrugged|promised)\b"
    ),
    "sarcasm": (
        r"^(?:oh |wow |yeah |well |great |thanks )*(?:wonderful|bravo|congratulations|great|lovely|brilliant"
        r"|fantastic|nice|genius|wow|perfect|thank you so much for|thanks for|such luxury|oh sure"
        r"|well done) (?:\w+ ){0,6}(?:(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
        r"|fifteen|twenty|thirty|forty|fifty|ninety|hundred|\d+)|nothing|lose|losing|lost|broken|only|again"
        r"|killed|another|without|cancelled|ignor\w+|hair|closed?|moving|not|doesn't)\b|\bthanks for nothing\b"
        r"|\blove it$|^nice of you to\b|\bif you enjoy\b|\bthe best (?:part|thing) (?:\w+ ){0,4}(?:was"
        r"|is) (?:leaving|the exit|when)|\bjust what i (?:ordered|needed)\b|\bnothing says\b|\bpersonal best\b"
        r"|\banother day another\b|\bonly took you\b"
    ),
    "thanks": (
        r"\b(?:thanks|thank|thankful|grateful|gratitude|god bless|bless (?:her|him|you)|appreciate\w*"
        r"|can't thank|cannot thank)\b"
    ),
    "recommend": (
        r"\b(?:recommend\w*|tell (?:everyone|all) |would (?:buy|come|go|visit|book|stay)(?: \w+)? again"
        r"|(?:will|we'll|i'll) (?:definitely |certainly |surely )?(?:be back|come back|return|visit again)"
        r"|keep it up|keep going|well done|great job|good job|hats off)\b"
    ),
    "negation": (
        r"\b(?:(?:not|never|no longer|won't|will not|don't|do not|can't|cannot|wouldn't|isn't|doesn't|didn't"
        r"|aren't)|nothing|nobody|no|nor|none|without)\b"
    ),
    "contrast": (
        r"\b(?:but|however|although|though|except|unfortunately|shame|pity|on the other hand|too bad"
        r"|the other half|until|sadly|just not|i just wish|only the|then)\b"
    ),
    "statement_of_fact": (
        r"\b(?:i (?:work|live|visited|came|bought|am here)|my name is|we (?:came|visited|stayed)"
        r"|just (?:looking|browsing|passing|here))\b"
    ),
    "lukewarm": (
        r"\b(?:so so|average|okay|ok|not great|not bad|wasn't bad|i guess|neither|alright|all right"
        r"|fifty fifty|not terrible|nothing special|mediocre)\b"
    ),
}
"""Flags about what the speaker is after: name and pattern over words in lower case, joined by single spaces."""

FEELINGS: Final[dict[str, str]] = {
    "strongly": (
        r"\b(?:absolutely|extremely|incredibly|totally|completely|utterly|ever|never (?:in|been|been so)|worst"
        r"|best|most|terrible|horrible|awful|amazing|incredible|fantastic|perfect|superb|disgusting|outrageous"
        r"|hate|furious|terrified|panicked|dangerous|shaking|nightmare|disgrace|set foot|heavenly|humiliat\w+"
        r"|of my life|in my life|so much|nearly|crying|tears|to die for|everything|thirty years|twenty years"
        r"|ashamed|bless|forever|heart)\b"
    ),
    "hedged": (
        r"\b(?:maybe|perhaps|a bit|a little|kind of|sort of|i guess|could|might|would be nice|please|quite"
        r"|fairly|not sure|somewhat|just|okay|ok|slightly|suggest\w*|wondering)\b"
    ),
    "anger": (
        r"\b(?:angry|furious|annoy\w+|frustrat\w+|ridiculous|outrageous|unacceptable|disgrace\w*|fed up"
        r"|sick of|hate|rude|scandal|joke|crazy|cheated|lied|disgust\w+|gross|stink\w*|filthy|dirty|hair"
        r"|seriously|again|still|enough|how many times|robbery|waste)\b"
    ),
    "sorrow": (
        r"\b(?:disappoint\w+|sad|sadly|unfortunately|shame|pity|upset|cry|cried|crying|tears|heart"
        r"|miss(?:ed)? (?:it|you|them)|used to|looking forward|not what|expected|hoped|hurt|unwelcome|sorry"
        r"|downhill|lost)\b"
    ),
    "worry": (
        r"\b(?:worr\w+|scared|scary|afraid|frighten\w*|terrif\w+|panic\w*|nervous|concern\w*|unsafe|dangerous"
        r"|danger|fear|anxious|don't dare|sleep since|shaking|safe|safety|is (?:it|that) normal)\b"
    ),
    "shame": (
        r"\b(?:embarrass\w*|asham\w+|humiliat\w+|stared at|laughed at|in front of (?:everyone|everybody"
        r"|the whole)|sink into|died of shame|out loud|jokes about|blush\w*)\b"
    ),
    "confusion": (
        r"\b(?:confus\w+|don't understand|how is that possible|no (?:idea|clue)|unclear|what do (?:i|we)"
        r"|why (?:was|is|did|does|do)|strange|weird|lost in|can't find|not sure|am i supposed|each time"
        r"|different (?:weight|price|time))\b"
    ),
    "curiosity": (
        r"\b(?:wonder\w*|curious|interested in|like to know|just checking|what's the difference|do you (?:have"
        r"|sell|ship|also)|will you have|how old|are (?:dogs|kids|children)|is (?:it )?true|ever thought)\b"
    ),
    "gratitude": (
        r"\b(?:thanks|thank|thankful|grateful|god bless|bless (?:her|him|you)|appreciate\w*|saved|helped (?:me"
        r"|us)|so kind|so patient|patience|cannot thank|can't thank|means a lot|never forget)\b"
    ),
    "delight": (
        r"\b(?:love|loved|loves|adore|amazing|awesome|fantastic|wonderful|perfect|heavenly|best|brilliant"
        r"|superb|rock|great|excellent|delighted|blast|magic|fun|dream|smiled?|laugh\w*|happy|happier|proud)\b"
    ),
    "hope": (
        r"\b(?:hope\w*|would be (?:amazing|cool|great|lovely)|can't wait|looking forward|miss it|bring back"
        r"|would love|we'd love|i'd love|over the moon)\b"
    ),
}
"""Flags about how it is said, in the same form."""

_COMPILED: Final = {name: re.compile(expression) for name, expression in (PURPOSES | FEELINGS).items()}
FLAGS: Final = tuple(_COMPILED)
"""Names of all flags; their order is part of the trained weights."""


def pattern(name: str) -> re.Pattern[str]:
    """Return the compiled pattern of a flag."""
    return _COMPILED[name]


def flags(spoken: str) -> list[int]:
    """Return how often each of `FLAGS` occurs in a text of words in lower case joined by single spaces."""
    return [sum(1 for _ in expression.finditer(spoken)) for expression in _COMPILED.values()]
