/** @file How far a session rewrites its graph before the first run. */

/** GraphOptimizationLevel of onnxruntime_c_api.h; the stock binding uses the same names. */
export const optimizationLevels = { disabled: 0, basic: 1, extended: 2, all: 99 } as const;

export type GraphOptimization = keyof typeof optimizationLevels;
