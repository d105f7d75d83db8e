"""The ear: sound in, words out. Runs as a process of its own, for PortAudio and Vosk can hang or abort."""
