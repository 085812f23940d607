// What citizens and programs do: one function for each, used by all scenarios. Each takes the
// place {slug, ars} and a name that is used once, and returns whether all of it went well.
import { demo, pick, random, url } from './target.js';
import { freshToken, introspect, json, send, token, visible } from './http.js';

export const takeToken = () => freshToken('token') !== undefined;
export const checkToken = () => introspect(token()).ok;

// takePayment is what an EfA service does: it asks for a payment and reads it back, over the
// federal standard XBezahldienste.
export function takePayment(place, name) {
  const base = `${demo.payment.base_url}/paymenttransaction/${demo.payment.originator_id}/${place.ars}`;
  const amount = pick([10, 12.5, 30.7, 61.4]);
  const { res, ok } = json('payment create', 'POST', base, {
    requestId: name, requestTimestamp: new Date().toISOString(), currency: 'EUR', grossAmount: amount,
    purpose: 'Bewohnerparkausweis', redirectUrl: visible,
    items: [{ id: '1', reference: 'Bewohnerparkausweis', taxRate: 0, quantity: 1, totalNetAmount: amount, totalTaxAmount: 0, singleNetAmount: amount, singleTaxAmount: 0 }],
  });
  if (!ok) return undefined;
  const { transactionId, transactionRedirectUrl } = res.json('paymentInformation');
  if (!json('payment read', 'GET', `${base}/${transactionId}`).ok) return undefined;
  return transactionRedirectUrl;
}

// pay is what the payer's browser does: pay page, provider (the sandbox), back.
export function pay(payURL) {
  const page = send('pay page', 'GET', payURL);
  if (!page.ok) return false;
  const chosen = send('pay choose', 'POST', payURL, { offer: 'card' }); // leads to the provider's page
  if (!chosen.ok) return false;
  return send('pay at provider', 'POST', chosen.res.url, { act: 'pay' }).ok; // leads back to the online service
}

const applicant = (name) => ({
  F60000227: 'Beispiel', F60000228: 'Kim', G60000083: { F60000231: 15, F60000232: 5, F60000233: 1980 },
  G60000085: { F60000242: `${name}@example.org` },
  G60000086: { F60000243: 'Anger', F60000244: '12a', F60000246: '99084', F60000247: 'Erfurt' },
});

// apply is what an EfA service does for a citizen: it reads the form with its schema and
// submits the answers. With a fee it returns where to pay, without one true.
export function apply(place, name, withFee) {
  const form = withFee ? 'meldebescheinigung' : 'hundesteuer';
  const base = `${url}/t/${place.slug}/forms/v1/forms/${form}`;
  if (!send('form read', 'GET', base).ok) return undefined;
  const answers = { applicant: applicant(name) };
  if (withFee) answers.certificate = { kind: 'simple', purpose: 'bank', copies: 1 };
  else answers.dogs = [{ name: 'Bello', breed: 'Mischling', chip: `276${String(Math.floor(random() * 1e12)).padStart(12, '0')}`, birth: '2024-03-01', since: '2024-05-01', dangerous: 'no' }];
  const { res, ok } = json(withFee ? 'application submit (fee)' : 'application submit', 'POST', `${base}/applications`,
    { answers, level: 3, language: 'de', return_url: visible }, { want: [201], key: name });
  if (!ok) return undefined;
  return withFee ? res.json('payment_url') : true;
}

// writeMail is what a program of the municipality does: a message by e-mail from a template.
export function writeMail(place, name) {
  return json('notify e-mail', 'POST', `${url}/t/${place.slug}/notify/v1/messages`, {
    template: 'test-message', language: 'de', channel: 'email', to: { email: `${name}@example.org` },
    personalisation: { name: 'Kim' }, reference: name.slice(0, 64),
  }, { want: [201], key: name }).ok;
}

const day = (n) => new Date(Date.now() + n * 86400e3).toISOString().slice(0, 10);

// book is what a citizen does: looks for free times in some week, reserves one and confirms
// it. Who was quicker is no error: then another time. The appointment is given back, so that a
// long run does not use up the times; that request has a name of its own.
export function book(place, name) {
  const base = `${url}/t/${place.slug}/booking/v1`;
  const from = 3 + Math.floor(random() * 45);
  const free = send('booking slots', 'GET', `${base}/services/${demo.booking.service_id}/slots?from=${day(from)}&to=${day(from + 6)}`);
  if (!free.ok) return false;
  const slots = free.res.json('items');
  for (let attempt = 0; attempt < 5 && slots.length > 0; attempt++) {
    const slot = pick(slots);
    const held = json('booking hold', 'POST', `${base}/appointments`, {
      service_id: demo.booking.service_id, office_id: slot.office_id, starts_at: slot.starts_at,
      name: 'Kim Beispiel', email: `${name}@example.org`, language: 'de',
    }, { want: [201, 409], key: `${name}-${attempt}` });
    if (held.res.status === 409) continue;
    if (!held.ok) return false;
    const { id, secret } = held.res.json();
    const one = `${base}/appointments/${id}`;
    if (!json('booking confirm', 'POST', `${one}/confirm`, { secret }, { key: `${name}-confirm` }).ok) return false;
    return json('booking give back', 'POST', `${one}/cancel`, { secret }, { key: `${name}-cancel` }).ok;
  }
  return false;
}

