/** @file How much two JSON values have in common. */

/** F1 over the leaves of two JSON values, each with its path; lists are compared place by place. Two without leaves: 1. */
export function leafF1(left: unknown, right: unknown): number {
  const remaining = new Set(leavesOf(right));
  const gold = remaining.size;
  const own = leavesOf(left);
  if (own.length === 0 && gold === 0) return 1;
  const common = own.filter((leaf) => remaining.has(leaf)).length;
  return (2 * common) / (own.length + gold);
}

const leavesOf = (value: unknown, path = "$"): readonly string[] =>
  typeof value === "object" && value !== null
    ? Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, `${path}.${JSON.stringify(key)}`))
    : [`${path}=${JSON.stringify(value)}`];
