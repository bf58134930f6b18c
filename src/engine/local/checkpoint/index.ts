/** @file Checkpoints: Hugging Face folders, PEFT adapters, optimiser state; read with checks, written atomically. */

export { AdapterFolder, type SaveAdapterOptions, saveAdapterFolder } from "./adapter-folder.ts";
export {
  type AtomicFolderOptions,
  type FolderStage,
  type FolderWriter,
  recoverFolder,
  writeFolder,
} from "./atomic-folder.ts";
export { CheckpointError } from "./checkpoint-error.ts";
export { type GenerationConfig, readGenerationConfig } from "./generation-config.ts";
export { type Manifest, readManifest, verifyFolder } from "./manifest.ts";
export {
  type ExtraFile,
  ModelFolder,
  namedTensors,
  type OpenModelOptions,
  readModelConfig,
  type SaveModelOptions,
  saveModelFolder,
} from "./model-folder.ts";
export {
  type NamedTensor,
  SafetensorsFile,
  type WeightFormat,
  type WriteSafetensorsOptions,
  writeSafetensors,
} from "./safetensors.ts";
export {
  type OptimizerState,
  readTrainingState,
  type TrainerState,
  trainingStateFiles,
} from "./training-state.ts";
