// Receivers in the manners that integrators write and publish them: `node server.mjs [4|5] [rewritten|raw|stripe]`.
//
// rewritten  parses the body and verifies the signature over JSON.stringify() of what it parsed; reads the last v1
// raw        verifies over the raw body, as docs/webhook-contract.md shows it
// stripe     lets Stripe's own library verify: the header has the form of theirs
//
// It prints its port as one line of JSON and ends with its standard input.
import { createHmac, timingSafeEqual } from 'node:crypto';
import Stripe from 'stripe';

const [version = '5', manner = 'rewritten'] = process.argv.slice(2);
const { default: express } = await import(version === '4' ? 'express4' : 'express');
const secret = process.env.VOISEBACK_WEBHOOK_SECRET;
if (!secret) {
  console.error('VOISEBACK_WEBHOOK_SECRET is not set: give the secret that the webhooks are signed with.');
  process.exit(2);
}
const TOLERANCE_S = 300;

const verifiers = {
  rewritten(header, body) {
    const parts = Object.fromEntries(header.split(',').map((part) => part.split('=')));
    const expected = createHmac('sha256', secret).update(`${parts.t}.${JSON.stringify(body)}`).digest('hex');
    return timingSafeEqual(Buffer.from(parts.v1, 'hex'), Buffer.from(expected, 'hex'));
  },
  raw(header, rawBody) {
    const match = /^t=([0-9]{1,12})((?:,v1=[0-9a-f]{64})+)$/.exec(header);
    if (!match || Math.abs(Date.now() / 1000 - Number(match[1])) > TOLERANCE_S) return false;
    const expected = createHmac('sha256', secret).update(`${match[1]}.`).update(rawBody).digest();
    return match[2].slice(4).split(',v1=').some((hex) => timingSafeEqual(Buffer.from(hex, 'hex'), expected));
  },
  stripe(header, rawBody) {
    try {
      return Boolean(Stripe.webhooks.constructEvent(rawBody, header, secret, TOLERANCE_S));
    } catch (error) {
      if (error instanceof Stripe.errors.StripeSignatureVerificationError) return false;
      throw error;
    }
  },
};

const app = express();
app.use(manner === 'rewritten' ? express.json() : express.raw({ type: 'application/json' }));
app.post('/webhook', (request, response) => {
  const signature = request.headers['webhook-signature'];
  if (!signature || !verifiers[manner](signature, request.body)) {
    response.status(401).json({ error: 'invalid signature' });
    return;
  }
  const body = manner === 'rewritten' ? request.body : JSON.parse(request.body);
  response.status(200).json({ event: body.event, id: body.feedback.id });
});

const server = app.listen(0, '127.0.0.1', (error) => {
  if (error) {
    console.error(`cannot listen on 127.0.0.1: ${error.message}`);
    process.exit(1);
  }
  console.log(JSON.stringify({ port: server.address().port }));
});

process.stdin.resume();
process.stdin.on('end', () => {
  server.close();
  server.closeAllConnections();
});
