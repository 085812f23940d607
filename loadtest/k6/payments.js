// XBezahldienste alone: an EfA service asks for a payment and reads it back. Nobody pays it.
//   RATE=50 DURATION=30s AREA=
import { begin, pick, steady, text, whole } from './lib/target.js';
import { common, within } from './lib/limits.js';
import { report } from './lib/summary.js';
import { places } from './lib/tenants.js';
import { takePayment } from './lib/operations.js';

const rate = whole('RATE', 50);
const operations = ['payment create', 'payment read'];
export const options = { ...common, scenarios: { payments: steady(rate, text('DURATION', '30s')) }, thresholds: within(operations, rate) };

export const setup = places;

export default function (drawn) {
  const name = begin();
  takePayment(pick(drawn), name);
}

export const handleSummary = report('payments');
