"""A simple reader of each public data set, from its docstring in prouter_jax/data/public, for comparison."""

from independent.cells import Refused, has, literal, name, needed_text, number, objects, raw_rows, text
from independent.facts import Facts

_EVERYBODY = "everybody"
_WINNERS = {"model_a": (1, 0), "model_b": (0, 1)} | dict.fromkeys(
    ("tie", "tie (bothbad)", "both_bad", "bothbad"), (0.5, 0.5)
)


def prism(path):
    rated = {}
    for row in raw_rows(path, ("score", "turn", "interaction_id")):
        score, turn = number(row, "score", 1, 100), number(row, "turn")
        prompt = (
            text(row, "user_prompt").replace("EMPTY STRING", "")
            if row.get("user_prompt") == "EMPTY STRING"
            else text(row, "user_prompt")
        )
        if turn is None or turn % 1:
            raise Refused("turn")
        if turn or score is None or not prompt:
            continue
        key = name(row, "interaction_id")
        user, first, _, answers = rated.setdefault(
            key, (name(row, "user_id"), prompt, text(row, "conversation_type"), {})
        )
        if (user, first) != (name(row, "user_id"), prompt):
            raise Refused("another user or prompt")
        response = text(row, "model_response")
        answers.setdefault(name(row, "model_name"), ((score - 1) / 99, "" if response == "EMPTY STRING" else response))
    return _rated((user, key, prompt, task, answers) for key, (user, prompt, task, answers) in rated.items())


def gmtrouter(path):
    rated = {}
    for row in raw_rows(path, ("conversation",)):
        steps = objects(row, "conversation")
        rating = number(steps[0], "rating") if steps else None
        if rating is None or not has(steps[0], "query"):
            continue
        query, judge = needed_text(steps[0], "query"), name(row, "judge")
        key = name(row, "question_id"), name(row, "turn"), judge, query
        rated.setdefault(key, {}).setdefault(name(row, "model"), (rating, text(steps[0], "response")))
    return _rated((judge, question, query, "", answers) for (question, _, judge, query), answers in rated.items())


def _rated(decisions):
    facts = Facts()
    for user, query, prompt, task, answers in decisions:
        if len(answers) > 1 and facts.query(query, prompt, task):
            for llm, (_, response) in answers.items():
                facts.outcome(query, llm, response)
            facts.decide(user, query, answers, {("rating", llm): rating for llm, (rating, _) in answers.items()})
    return facts


def arena(path):
    facts, user = Facts(), None
    for row in raw_rows(path, ("model_a", "model_b")):
        found = next((column for column in ("judge", "judge_hash", "evaluation_session_id") if has(row, column)), "")
        if user == "" and found:
            raise Refused("a user in some records only")
        user = user or found
        names, shares = (name(row, "model_a"), name(row, "model_b")), _shares(row)
        if _later(row):
            continue
        (first, answer), (other, answer_b) = (_conversation(row, side) for side in "ab")
        if names[0] == names[1] or not first or first != other:
            continue
        query = name(row, "question_id" if has(row, "question_id") else "id")
        if not facts.query(query, first):
            continue
        for llm, response in zip(names, (answer, answer_b), strict=True):
            facts.outcome(query, llm, response)
        values = {("choice", llm): share for llm, share in zip(names, shares, strict=True) if share}
        who = name(row, user) if user else _EVERYBODY
        facts.decide(who, query, names, values, names[0], number(row, "tstamp"))
    return facts


def _shares(row):
    if not has(row, "winner_model_a"):
        return _WINNERS.get(text(row, "winner")) or _refused("winner")
    flags = [number(row, column, 0, 1) == 1 for column in ("winner_model_a", "winner_model_b", "winner_tie")]
    return ((1, 0), (0, 1), (0.5, 0.5))[flags.index(True)] if sum(flags) == 1 else _refused("winner")


def _later(row):
    if has(row, "turn"):
        return number(row, "turn") != 1
    if has(row, "evaluation_order") and number(row, "evaluation_order") != 1:
        return True
    if has(row, "prompt"):
        return len(_texts(row, "prompt")) != 1
    return sum(message.get("role") == "user" for message in objects(row, "conversation_a")) > 1


def _conversation(row, side):
    if has(row, "prompt"):
        answers = _texts(row, f"response_{side}")
        return (_texts(row, "prompt") or _refused("prompt"))[0], answers[0] if answers else ""
    return _opening(row, f"conversation_{side}")


def _opening(row, column):
    messages = objects(row, column)
    messages = messages[1:] if messages and text(messages[0], "role") == "system" else messages
    found = [
        _content(message) if text(message, "role") == role else ""
        for message, role in zip(messages, ("user", "assistant"), strict=False)
    ]
    return tuple([*found, "", ""][:2])


def _content(message):
    if isinstance(message.get("content"), list):
        return "".join(text(part, "text") for part in objects(message, "content"))
    return text(message, "content")


def _texts(row, column):
    found = literal(needed_text(row, column))
    if not isinstance(found, list) or not all(one is None or isinstance(one, str) for one in found):
        raise Refused(column)
    return [(one or "").encode("utf-8", "replace").decode() for one in found]


def chosen_rejected(path):
    facts, user, ids = Facts(), None, {}
    for row in raw_rows(path, ("chosen", "rejected")):
        found = next(
            (column for column in ("user_id", "annotator", "annotator_id", "judge", "user") if has(row, column)), ""
        )
        if user == "" and found:
            raise Refused("a user in some records only")
        user = user or found
        names = [
            name(row, next(c for c in columns if has(row, c)))
            if any(has(row, c) for c in columns)
            else _refused("model")
            for columns in (
                ("chosen_model", "chosen-model", "model_chosen"),
                ("rejected_model", "rejected-model", "model_rejected"),
            )
        ]
        sides = [
            _opening(row, c) if isinstance(row.get(c), list) else ("", text(row, c)) for c in ("chosen", "rejected")
        ]
        column = next((c for c in ("prompt", "question", "instruction") if has(row, c)), None)
        prompt = (
            sides[0][0]
            if column is None
            else text(row, column)
            if isinstance(row[column], str)
            else _opening(row, column)[0]
        )
        if names[0] == names[1] or not prompt:
            continue
        query = ids.setdefault(prompt, f"q{len(ids)}")
        facts.query(query, prompt)
        for llm, (_, response) in zip(names, sides, strict=True):
            facts.outcome(query, llm, response)
        facts.decide(name(row, user) if user else _EVERYBODY, query, names, {("choice", names[0]): 1})
    return facts


def routerbench(path):
    facts, rows = Facts(), raw_rows(path, ("sample_id", "prompt", "eval_name"))
    ends = ("|total_cost", "|model_response")
    models = {c.rpartition("|")[0] for c in rows[0] if c.endswith(ends)} or _refused("models")
    if any(model not in rows[0] or f"{model}|total_cost" not in rows[0] for model in models):
        raise Refused("a missing column")
    for row in rows:
        if not has(row, "prompt"):
            continue
        query = name(row, "sample_id")
        scores = {model: number(row, model, 0, 1) for model in models}
        if facts.query(query, _unlisted(text(row, "prompt")), name(row, "eval_name")):
            for model, effect in scores.items():
                if effect is not None:
                    response, cost = text(row, f"{model}|model_response"), number(row, f"{model}|total_cost", 0)
                    facts.outcome(query, model, _unlisted(response), effect, cost)
    return facts


def _unlisted(cell):
    found = literal(cell) if cell.startswith(("['", '["')) else None
    return "\n".join(found) if isinstance(found, list) and all(isinstance(one, str) for one in found) else cell


def embedllm(path):
    facts = Facts()
    for row in raw_rows(path, ("prompt_id", "label", "model_name", "category", "prompt")):
        effect, llm = number(row, "label", 0, 1), name(row, "model_name")
        if effect is None or not has(row, "prompt"):
            continue
        query = name(row, "prompt_id")
        if facts.query(query, needed_text(row, "prompt"), text(row, "category")):
            facts.outcome(query, llm, effect=effect)
    return facts


def llmrouterbench(path):
    dataset, split, model = path.parts[-4:-1]
    facts = Facts()
    for row in raw_rows(path, array="records"):
        score = number(row, "score")
        if (
            not isinstance(row.get("origin_query"), str)
            or not row["origin_query"]
            or score is None
            or not 0 <= score <= 1
        ):
            continue
        query, prediction = f"{dataset}/{split}/{name(row, 'index')}", row.get("prediction")
        if facts.query(query, text(row, "origin_query"), dataset):
            tokens = number(row, "prompt_tokens", 0), number(row, "completion_tokens", 0)
            response = prediction if isinstance(prediction, str) else ""
            facts.outcome(query, model, response, score, number(row, "cost", 0), tokens)
    return facts


def alpacaeval(path):
    model, facts, ids, preferences = path.parent.name, Facts(), {}, {}
    for row in raw_rows(path.parent / "weighted_alpaca_eval_gpt4_turbo" / "annotations.json"):
        preferences.setdefault(needed_text(row, "instruction"), number(row, "preference", 1, 2))
    for row in raw_rows(path):
        query = ids.setdefault(needed_text(row, "instruction"), f"q{len(ids)}")
        facts.query(query, row["instruction"], text(row, "dataset"))
        if preferences.get(row["instruction"]) is not None:
            facts.outcome(query, model, text(row, "output"), preferences[row["instruction"]] - 1)
    return facts


def llmrouter(path):
    facts, ids, rated = Facts(), {}, {}
    for row in raw_rows(path, ("query", "model_name", "performance")):
        prompt, effect = _last_text(row), number(row, "performance", 0, 1)
        if not prompt or effect is None:
            continue
        tokens = number(row, "input_tokens", 0), number(row, "output_tokens", 0)
        response, llm = text(row, "response"), row.get("model_name")
        if not tokens[1] and response.startswith(("ERROR", "API Error")):
            continue
        key = (prompt, *(str(row.get(column)) for column in ("task_name", "ground_truth", "metric")))
        query, llm = ids.setdefault(key, f"q{len(ids)}"), name(row, "model_name")
        facts.query(query, prompt, text(row, "task_name"))
        if has(row, "user_id"):
            rated.setdefault((name(row, "user_id"), query), {})["rating", llm] = effect
        facts.outcome(query, llm, response, None if has(row, "user_id") else effect, None, tokens)
    for (user, query), values in rated.items():
        facts.decide(user, query, [llm for _, llm in values], values)
    return facts


def personas(path):
    facts, ids = Facts(), {}
    for row in raw_rows(path, ("query", "persona_id", "model_1", "model_2", "judge")):
        prompt, task, names = _last_text(row), text(row, "task_name"), (name(row, "model_1"), name(row, "model_2"))
        if not prompt or names[0] == names[1]:
            continue
        judge = number(row, "judge")
        if judge not in (1, 2):
            raise Refused("judge")
        query = ids.setdefault((prompt, task), f"q{len(ids)}")
        facts.query(query, prompt, task)
        for side, llm in enumerate(names, 1):
            facts.outcome(query, llm, text(row, f"answer_{side}"))
        facts.decide(name(row, "persona_id"), query, names, {("choice", names[int(judge) - 1]): 1})
    return facts


def routeprofile(path):
    facts, ids = Facts(), {}
    for row in raw_rows(path, array="pairwise_data"):
        prompt, task = _last_text(row), text(row, "task_name")
        names = [name(row, "better_model"), name(row, "worse_model")] if prompt else []
        if not prompt or names[0] == names[1]:
            continue
        query = ids.setdefault((prompt, task), f"q{len(ids)}")
        facts.query(query, prompt, task)
        facts.decide(_EVERYBODY, query, names, {("choice", names[0]): 1})
    return facts


def _last_text(row):
    cell = row.get("query")
    found = literal(cell) if isinstance(cell, str) and cell.startswith("[{") else cell
    if not isinstance(found, list):
        return text(row, "query")
    return text(found[-1], "content") if found and isinstance(found[-1], dict) else ""


def personaroute(path):
    facts, decisions, outcomes = Facts(), {}, {}
    for row in raw_rows(path, ("user_id", "task_id", "query", "effect", "cost", "llm", "best_llm")):
        task, prompt, llm = needed_text(row, "task_id"), needed_text(row, "query"), needed_text(row, "llm")
        facts.query((task, prompt), prompt, task)
        numbers = number(row, "effect", 0, 1), number(row, "cost", 0)
        outcomes.setdefault(((task, prompt), llm), numbers)
        facts.outcome((task, prompt), llm, text(row, "response"), *numbers)
        offer = decisions.setdefault((needed_text(row, "user_id"), (task, prompt)), {})
        if llm in offer:
            raise Refused("an LLM twice")
        offer[llm] = needed_text(row, "best_llm")
    for (user, query), offer in decisions.items():
        if len(set(offer.values())) != 1 or next(iter(offer.values())) not in offer:
            raise Refused("best_llm")
        facts.decide(user, query, offer, {("choice", next(iter(offer.values()))): 1})
    return facts


def _refused(column):
    raise Refused(column)


READERS = {  # by the name of the format in fuzz_formats.FORMATS
    "personaroute": personaroute,
    "prism": prism,
    "arena": arena,
    "arena_parquet": arena,
    "arena_55k": arena,
    "routerbench": routerbench,
    "routerbench_parquet": routerbench,
    "llmrouterbench": llmrouterbench,
    "embedllm": embedllm,
    "alpacaeval": alpacaeval,
    "gmtrouter": gmtrouter,
    "llmrouter": llmrouter,
    "personas": personas,
    "routeprofile": routeprofile,
    "chosen_rejected": chosen_rejected,
}
