/**
 * @file Kruskal's algorithm: the spanning forest of least, or greatest, total cost. Edges of equal cost are taken in the
 * order in which they came, so the result is one and the same. Source: Kruskal (1956).
 */

export interface WeighedEdge {
  readonly from: number;
  readonly to: number;
  readonly cost: number;
}

/**
 * @param nodes how many there are; ends of edges are below it.
 * @returns places in `edges` of the chosen ones, ascending: one less than the nodes of each component. Self loops are
 * never among them.
 */
export function spanningForest(
  nodes: number,
  edges: readonly WeighedEdge[],
  extreme: "minimum" | "maximum" = "minimum",
): readonly number[] {
  const parent = Int32Array.from({ length: nodes }, (_, node) => node);
  const rootOf = (node: number): number => {
    let root = node;
    while (parent[root] !== root) {
      parent[root] = parent[parent[root]!]!;
      root = parent[root]!;
    }
    return root;
  };
  const sign = extreme === "minimum" ? 1 : -1;
  const order = edges.map((_, place) => place);
  order.sort((left, right) => sign * (edges[left]!.cost - edges[right]!.cost) || left - right);
  const chosen: number[] = [];
  for (const place of order) {
    const from = rootOf(edges[place]!.from);
    const to = rootOf(edges[place]!.to);
    if (from === to) continue;
    parent[from] = to;
    chosen.push(place);
  }
  return chosen.sort((left, right) => left - right);
}
