/** @file Public surface of `troupe/tools`. */

export {
  foldText,
  type Passage,
  type SearchHit,
  SearchIndex,
  SearchIndexError,
  type SearchIndexOptions,
  searchWords,
} from "./bm25.ts";
