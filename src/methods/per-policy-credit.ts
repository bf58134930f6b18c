/** @file What each method of `perPolicy` makes of a whole group, put together: a call has the credit of its own policy's. */

import type { GroupCredit, Method, RewardedCall, RewardedGroup } from "./method.ts";
import { noMethod } from "./per-policy-rules.ts";

/** [groups] the credits of all methods, each where its policy's calls are. */
export function creditGroups(
  name: string,
  entries: readonly (readonly [string, Method])[],
  groups: readonly RewardedGroup[],
): readonly GroupCredit[] {
  const policies = entries.map(([policy]) => policy);
  const credits = entries.map(
    ([, method]) => method.creditAll?.(groups) ?? groups.map(({ episodes }) => method.credit(episodes)),
  );
  const placeOf = ({ policy, frozen }: RewardedCall) => {
    if (policy === undefined && policies.length === 1) return 0;
    const place = policies.indexOf(policy ?? "");
    if (place < 0 && frozen !== true) throw noMethod(name, policy, policies);
    return place;
  };
  return groups.map(({ episodes }, k): GroupCredit => {
    const places = episodes.map(({ calls }) => calls.map(placeOf));
    const own = credits.map((credit) => credit[k]!);
    const given = own.flatMap((credit, p) =>
      (credit.given ?? []).filter(({ policy }) => policy === policies[p]),
    );
    return {
      advantages: places.map((row, i) =>
        Float64Array.from(row, (place, j) => own[place]?.advantages[i]?.[j] ?? 0),
      ),
      hasSignal: own.some(({ hasSignal }) => hasSignal),
      ...(own.some(({ trained }) => trained !== undefined) || places.flat().includes(-1)
        ? {
            trained: places.map((row, i) =>
              Uint8Array.from(row, (place, j) => (place < 0 ? 0 : (own[place]!.trained?.[i]?.[j] ?? 1))),
            ),
          }
        : {}),
      ...(own.some(({ links }) => links !== undefined)
        ? { links: places.map((row, i) => row.map((place, j) => own[place]?.links?.[i]?.[j])) }
        : {}),
      ...(given.length === 0 ? {} : { given }),
    };
  });
}
