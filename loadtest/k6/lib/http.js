// How requests are sent: with a token, a name for the statistics, and a check of the answer.
import http from 'k6/http';
import { check } from 'k6';
import { b64encode } from 'k6/encoding';
import { demo, here, url } from './target.js';

// send does one request of an operation and checks the status. Every operation has its own
// figures under its name; addresses with ids in them must not become names.
export function send(op, method, address, body, { headers = {}, want = [200] } = {}) {
  const res = http.request(method, here(address), body, {
    headers, tags: { op, name: op }, timeout: '30s', responseCallback: http.expectedStatuses({ min: 300, max: 399 }, ...want), // redirects are followed
  });
  const ok = check(res, { [`${op}: ${want.join(' or ')}`]: (r) => want.includes(r.status) }, { op });
  if (!ok && complained < 1) {
    complained++; // once for each virtual user
    console.error(`${op}: ${method} ${address.slice(0, 120)}: ${res.status} ${res.error} ${String(res.body).slice(0, 300)}`);
  }
  return { res, ok };
}
let complained = 0;

const basic = `Basic ${b64encode(`${encodeURIComponent(demo.efa_client.client_id)}:${encodeURIComponent(demo.efa_client.client_secret)}`)}`;
const form = { Authorization: basic, 'Content-Type': 'application/x-www-form-urlencoded' };

// freshToken asks for an access token of the EfA service in demo.json; undefined if refused.
export function freshToken(op = 'token') {
  const { res, ok } = send(op, 'POST', demo.efa_client.token_url,
    `grant_type=client_credentials&scope=${encodeURIComponent(demo.efa_client.scope)}`, { headers: form });
  return ok ? res.json() : undefined;
}

// token is the access token of this virtual user, as a program keeps it: until half a minute
// before its end.
let kept = { access_token: '', until: 0 };
export function token() {
  if (Date.now() > kept.until) {
    const t = freshToken('token (kept)');
    if (t) kept = { access_token: t.access_token, until: Date.now() + (t.expires_in - 30) * 1000 };
  }
  return kept.access_token;
}

// introspect asks whether a token is good.
export function introspect(accessToken) {
  return send('introspection', 'POST', demo.efa_client.token_url.replace(/\/token$/, '/introspect'), `token=${accessToken}`, { headers: form });
}

// json sends an object with the token, and with a key by which the server knows a repetition.
export function json(op, method, address, body, options = {}) {
  const headers = { Authorization: `Bearer ${token()}`, 'Content-Type': 'application/json' };
  if (options.key) headers['Idempotency-Key'] = options.key;
  return send(op, method, address, body === undefined ? null : JSON.stringify(body), { ...options, headers: { ...headers, ...options.headers } });
}

// visible is where pay pages send the browser in the end: in truth the online service's own
// page; here one that costs the target nothing and is on no other machine.
export const visible = `${url}/healthz`;
