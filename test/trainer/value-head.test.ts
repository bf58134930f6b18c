/** @file A policy must have as many value heads as its method needs, told before the first episode. */

import { expect, test } from "vitest";
import type { Method } from "../../src/methods/method.ts";
import { ppo } from "../../src/methods/ppo.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import { checkValueHead } from "../../src/trainer/value-head.ts";

const needing = (values: boolean | number): Method => {
  const method = ppo();
  return { ...method, name: "several", needs: { ...method.needs, values } };
};

async function asked(valueHead: boolean | number, values: boolean | number): Promise<void> {
  const policy = await tabularPolicy({ words: ["a", "b"], valueHead }).open({ name: "p", seed: 0 });
  return checkValueHead("small", policy, needing(values));
}

test.each([
  [true, true],
  [1, true],
  [true, 1],
  [3, 3],
  [false, false],
  [false, 0],
  // What no method asks for costs nothing.
  [3, false],
])("valueHead: %s is enough for values: %s", async (valueHead, values) => {
  await expect(asked(valueHead, values)).resolves.toBeUndefined();
});

test.each([
  {
    valueHead: false,
    values: true,
    told: /needs values, and policy "small" has no value head.*valueHead: true/s,
  },
  { valueHead: false, values: 3, told: /needs 3 value heads, and policy "small" has no.*valueHead: 3/s },
  { valueHead: true, values: 3, told: /needs 3 value heads, .* has one value head\..*valueHead: 3/s },
  { valueHead: 3, values: true, told: /needs one value head, .* has 3 value heads\..*valueHead: true/s },
  { valueHead: 2, values: 3, told: /needs 3 value heads, .* has 2 value heads/s },
])("valueHead: $valueHead for values: $values is refused in words", async ({ valueHead, values, told }) => {
  await expect(asked(valueHead, values)).rejects.toMatchObject({
    code: "E_VALUE_HEAD",
    message: expect.stringMatching(told),
  });
});
