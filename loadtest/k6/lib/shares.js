// The mix of a day: how many of a hundred arrivals are what. All shares are guesses: nobody
// publishes what a base service's day is made of. Ask your own figures (the municipality's and
// the operator's usage pages count every kind of event) and change the numbers here.
//
// What is known and bounds them: Erfurt's 214,000 inhabitants send 100,000 online applications a
// year; of the three forms of the demo two have a fee.
import { random, share } from './target.js';
import { apply, book, pay, takePayment, writeMail } from './operations.js';
import { applyByPages } from './pages.js';

export const shares = [
  [35, applyWithFee], // guess: most applications cost something
  [15, applyByPages], // guess: citizens who log in and use our own pages
  [10, (place, name) => apply(place, name, false)], // guess: EfA services whose form costs nothing
  [20, payOnly], // guess: EfA services that bring their own forms and take the payment alone
  [10, writeMail], // guess: messages that programs of the municipality send themselves
  [10, book], // guess: one arrival in ten wants an appointment
];

// finish is how many payers pay; the others leave the pay page (guess).
const finish = 0.9;

// operations that the mix consists of, for its thresholds.
export const operations = [
  'form read', 'application submit', 'application submit (fee)', 'payment create', 'payment read', 'pay page', 'pay choose', 'log-in pages', 'form pages',
  'pay at provider', 'notify e-mail', 'booking slots', 'booking hold', 'booking confirm', 'booking give back',
];

// arrival is one citizen or program.
export const arrival = (place, name) => share(shares)(place, name);

function applyWithFee(place, name) {
  const payURL = apply(place, name, true);
  return payURL !== undefined && (random() >= finish || pay(payURL));
}

function payOnly(place, name) {
  const payURL = takePayment(place, name);
  return payURL !== undefined && (random() >= finish || pay(payURL));
}
