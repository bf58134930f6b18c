/**
 * @file A question's options in the place of what was answered: each option after the call's own prompt, the right one
 * with A = +1 and the wrong ones with −1, linked. The sampled answer is not trained on.
 *
 * Source: the recommender of MixRAGRec's MMAPO (official code), which learns from all twenty letters of a question,
 * whichever it said. `wrong: "random"`: one wrong option only, drawn by a key of the episode and the call.
 */

import { key, stream } from "../../random/stream.ts";
import type { MethodCard } from "../card.ts";
import { MethodSettingsError, wrongSetting } from "../errors.ts";
import type { GivenText, RewardedCall, RewardedEpisode, RewardedGroup } from "../method.ts";
import type { AdvantagePart, GroupAdvantages } from "../parts.ts";

export interface Question {
  /** What could be answered, exactly as it would be said, such as "A" to "T". */
  readonly options: readonly string[];
  /** The right one. */
  readonly answer: string;
}

export interface OptionTextsSettings {
  /** What an episode was asked; undefined: nothing is learned from it. */
  readonly options: (episode: RewardedEpisode) => Question | undefined;
  /** Whose calls answered. Default: all. */
  readonly agent?: string;
  /** Default "all". */
  readonly wrong?: "all" | "random";
}

/** @throws MethodSettingsError E_METHOD_SETTING; its `advantages` E_OPTIONS for a question that is none. */
export function optionTexts(given: OptionTextsSettings): AdvantagePart & {
  readonly compares: "steps";
  readonly gives: "pairs";
} {
  const { options, agent, wrong = "all" } = given ?? {};
  if (typeof options !== "function") throw wrongSetting("option-texts", "options", options, "a function");
  if (wrong !== "all" && wrong !== "random")
    throw wrongSetting("option-texts", "wrong", wrong, '"all" or "random"');
  return Object.freeze({
    stage: "advantage",
    name: "option-texts",
    // Options with each other, whatever else the group has.
    compares: "steps",
    gives: "pairs",
    settings: { ...(agent === undefined ? {} : { agent }), wrong },
    advantages: (groups) => groups.map(({ group }) => textsOf(group, given)),
  } satisfies AdvantagePart);
}

function textsOf(group: RewardedGroup, settings: OptionTextsSettings): GroupAdvantages {
  const { episodes } = group;
  const given = episodes.flatMap((episode, e) => {
    const question = settings.options(episode);
    if (question === undefined) return [];
    checkQuestion(question, episode);
    return episode.calls.flatMap((call, c) => {
      if (call.frozen === true || (settings.agent !== undefined && call.agent !== settings.agent)) return [];
      return textsOfCall(group, call, { episode: e, call: c }, question, settings.wrong ?? "all");
    });
  });
  return {
    advantages: episodes.map(({ calls }) => new Float64Array(calls.length)),
    hasSignal: given.length > 0,
    trained: episodes.map(({ calls }) => new Uint8Array(calls.length)),
    ...(given.length === 0 ? {} : { given }),
  };
}

function textsOfCall(
  group: RewardedGroup,
  { policy, agent, id }: RewardedCall,
  place: Pick<GivenText, "episode" | "call">,
  { options, answer }: Question,
  wrong: "all" | "random",
): GivenText[] {
  const episode = group.episodes[place.episode]!.id ?? `${place.episode}`;
  if (policy === undefined) {
    throw new MethodSettingsError({
      code: "E_OPTIONS",
      message: `option-texts does not know which policy answered for agent "${agent}" in episode ${episode}.`,
      hint: "name the policy of every call that it is told of.",
    });
  }
  const name = `${episode}#${id ?? place.call}`;
  const others = options.filter((option) => option !== answer);
  const draw = stream("option-texts", group.task, name);
  const kept = wrong === "all" ? others : [others[draw.integer(others.length)]!];
  const link = `${key(group.task).join("-")}/${name}`;
  return [
    { ...place, policy, text: answer, advantage: 1, link },
    ...kept.map((text): GivenText => ({ ...place, policy, text, advantage: -1, link })),
  ];
}

function checkQuestion({ options, answer }: Question, { id = "?" }: RewardedEpisode): void {
  const says =
    options.length < 2
      ? `${options.length} options; it takes two`
      : new Set(options).size < options.length
        ? "an option twice"
        : options.includes(answer)
          ? undefined
          : `the answer ${JSON.stringify(answer)}, which is none of its options`;
  if (says === undefined) return;
  throw new MethodSettingsError({
    code: "E_OPTIONS",
    message: `The question of episode ${id} has ${says}.`,
    hint: "correct `options`: it returns different options with the right one among them, or undefined.",
  });
}

export const optionTextsCard: MethodCard = {
  name: "option-texts",
  title: "All options of a question",
  stage: "advantage",
  line: "learns from every option of a question, whichever was answered: the right one +1, the wrong ones −1",
  use: 'import { optionTexts } from "troupe/methods"',
  formula: [
    "given texts o of a call: A = +1 if o is the answer, else −1, linked; the sampled call is not trained",
  ],
  defaults: { wrong: { value: "all", source: "official code" } },
  source: "MixRAGRec, MMAPO (official code)",
};
