// Messages alone: a program has a message sent by e-mail.
//   RATE=50 DURATION=30s AREA=
import { begin, pick, steady, text, whole } from './lib/target.js';
import { common, within } from './lib/limits.js';
import { report } from './lib/summary.js';
import { places } from './lib/tenants.js';
import { writeMail } from './lib/operations.js';

const rate = whole('RATE', 50);
const operations = ['notify e-mail'];
export const options = { ...common, scenarios: { notify: steady(rate, text('DURATION', '30s')) }, thresholds: within(operations, rate) };

export const setup = places;

export default function (drawn) {
  const name = begin();
  writeMail(pick(drawn), name);
}

export const handleSummary = report('notify');
