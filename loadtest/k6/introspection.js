// Introspection alone: a service asks whether a token is good.
//   RATE=100 DURATION=30s
import { begin, steady, text, whole } from './lib/target.js';
import { common, within } from './lib/limits.js';
import { report } from './lib/summary.js';
import { checkToken } from './lib/operations.js';

const rate = whole('RATE', 100);
export const options = { ...common, scenarios: { introspection: steady(rate, text('DURATION', '30s')) }, thresholds: within(['introspection'], rate) };

export default function () {
  begin();
  checkToken();
}

export const handleSummary = report('introspection');
