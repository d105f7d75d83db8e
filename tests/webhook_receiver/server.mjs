// A receiver in the manner that integrators publish: it parses the body and verifies the signature over
// JSON.stringify() of what it parsed. It prints its port as one line of JSON and ends with its standard input.
import { createHmac, timingSafeEqual } from 'node:crypto';
import express from 'express';

const secret = process.env.VOISEBACK_WEBHOOK_SECRET;
if (!secret) {
  console.error('VOISEBACK_WEBHOOK_SECRET is not set: give the secret that the webhooks are signed with.');
  process.exit(2);
}

function verify(signatureHeader, body) {
  const parts = Object.fromEntries(signatureHeader.split(',').map((part) => part.split('=')));
  const expected = createHmac('sha256', secret).update(`${parts.t}.${JSON.stringify(body)}`).digest('hex');
  return timingSafeEqual(Buffer.from(parts.v1, 'hex'), Buffer.from(expected, 'hex'));
}

const app = express();
app.use(express.json());
app.post('/webhook', (request, response) => {
  const signature = request.headers['webhook-signature'];
  if (!signature || !verify(signature, request.body)) {
    response.status(401).json({ error: 'invalid signature' });
    return;
  }
  response.status(200).json({ event: request.body.event, id: request.body.feedback.id });
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
