"""Writes a small generated file in each public format, with the published layout."""

import json


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2))
    return path


def prism_answer(user, conversation, turn, position, model, score, **other):
    interaction = f"int{conversation}{turn}"
    return {
        "utterance_id": f"ut{conversation}{turn}{position}",
        "interaction_id": interaction,
        "conversation_id": f"c{conversation}",
        "user_id": user,
        "turn": turn,
        "within_turn_id": position,
        "conversation_type": "values guided",
        "user_prompt": f"Is conversation {conversation} fair, turn {turn}?",
        "model_response": f'{model} says\n"yes" to {conversation} é',
        "model_name": model,
        "model_provider": "somebody",
        "score": score,
        "if_chosen": position == 0,
        "included_in_balanced_subset": False,
    } | other


PRISM = [
    prism_answer("user0", 0, 0, 0, "gpt-4", 100),
    prism_answer("user0", 0, 0, 1, "claude-2", 1),
    prism_answer("user0", 0, 0, 2, "zephyr-7b", 34),
    prism_answer("user0", 0, 1, 0, "gpt-4", 90),
    prism_answer("user0", 0, 1, 1, "gpt-4", 80),
    prism_answer("user1", 1, 0, 0, "claude-2", 67),
    prism_answer("user1", 1, 0, 1, "gpt-4", 67, conversation_type="unguided"),
    prism_answer("user1", 2, 0, 0, "zephyr-7b", 50),
    prism_answer("user1", 2, 0, 1, "gpt-4", None),
    prism_answer("user1", 3, 0, 0, "zephyr-7b", 10, user_prompt=""),
]


def arena_vote(number, model_a, model_b, winner, judge, turn=1, text=None, **other):
    text = text or f"What is {number} + 1?"
    talk = lambda model: [  # noqa: E731
        {"content": text, "role": "user"},
        {"content": f"{model}: {number}", "role": "assistant"},
        {"content": "Really?", "role": "user"},
        {"content": "Yes.", "role": "assistant"},
    ]
    return {
        "question_id": number,
        "model_a": model_a,
        "model_b": model_b,
        "winner": winner,
        "judge": judge,
        "conversation_a": talk(model_a),
        "conversation_b": talk(model_b),
        "turn": turn,
    } | other


MT_BENCH = [
    arena_vote(81, "alpaca-13b", "gpt-3.5-turbo", "model_b", "author_2"),
    arena_vote(81, "gpt-3.5-turbo", "alpaca-13b", "tie", "expert_0"),
    arena_vote(81, "alpaca-13b", "gpt-3.5-turbo", "model_a", "author_2", turn=2),
    arena_vote(82, "gpt-4", "alpaca-13b", "model_a", "expert_0"),
    arena_vote(82, "gpt-4", "gpt-4", "tie", "expert_0"),
    arena_vote(82, "gpt-4", "alpaca-13b", "tie (bothbad)", "author_2"),
]


def routerbench_row(number, scores, prompt=None):
    row = {"sample_id": f"mmlu.{number}", "prompt": prompt or f"['Question {number}?', \"A, B\"]", "eval_name": "mmlu"}
    for model, (score, cost) in scores.items():
        row |= {model: score, f"{model}|model_response": f"['{model} {number}']", f"{model}|total_cost": cost}
    return row | {"oracle_model_to_route_to": next(iter(scores))}


ROUTERBENCH = [
    routerbench_row(0, {"gpt-4-1106-preview": (1.0, 0.01), "WizardLM/WizardLM-13B-V1.2": (0.0, 0.0001)}),
    routerbench_row(1, {"gpt-4-1106-preview": (0.25, 0.02), "WizardLM/WizardLM-13B-V1.2": (None, None)}),
    routerbench_row(2, {"gpt-4-1106-preview": (0.5, 0.03), "WizardLM/WizardLM-13B-V1.2": (1.0, 0.0002)}),
]


def write_llmrouterbench(folder, more=()):
    def run(dataset, model, time, scores, demo=False, name="", legacy=False, **other):
        records = [
            {
                "index": number + 1,
                "origin_query": f"{dataset} {number}?",
                "prompt": f"Question: {dataset} {number}?\nAnswer:",
                "prediction": f"{model} {number}",
                "ground_truth": "4",
                "score": score,
                "prompt_tokens": 15,
                "completion_tokens": 5 + number,
                "cost": 0.0001,
                "raw_output": ["not a text"],
            }
            | other
            for number, score in enumerate(scores)
        ]
        summary = {"performance": 0.85, "time_taken": 120.5, "cost": 0.15, "counts": len(records), "demo": demo}
        names = {"model_name": name or model, "dataset_name": dataset, "split": "test"}
        head = summary if legacy else summary | names
        write_json(folder / dataset / "test" / model / f"{time}.json", head | {"records": records})

    run("aime", "Qwen3-8B", "20250901_120000", [0.0, 0.0, 0.0])
    run("aime", "Qwen3-8B", "20250902_120000", [1.0, 0.0, None])
    run("aime", "GLM-Z1-9B-0414", "20250901_130000", [0.0, 0.5, 2.0])
    run("bbh", "Qwen3-8B", "20250901_140000", [1.0], cost=0.0)
    for options in more:
        run(**options)
    return folder


def embedllm_row(prompt, model, label, category="mmlu_anatomy", text=None):
    return {
        "prompt_id": prompt,
        "model_id": 7,
        "category_id": 3,
        "label": label,
        "model_name": model,
        "category": category,
        "prompt": text or f'Question {prompt}?\nA. yes, B. "no"',
    }


EMBEDLLM = [
    embedllm_row(0, "meta-llama/LlamaGuard-7b", 1),
    embedllm_row(0, "google/gemma-7b-it", 0),
    embedllm_row(1, "google/gemma-7b-it", 1, "logiqa"),
    embedllm_row(1, "google/gemma-7b-it", 0, "logiqa2"),
    embedllm_row(1, "meta-llama/LlamaGuard-7b", "", "logiqa"),
]


def write_alpacaeval(folder):
    questions = ["Who is Larry Page?", "How do I wrap a present\nneatly?", 'What is "jazz"?']
    preferences = {"gpt4": [1.0, 1.5, 2.0], "gpt4_1106_preview": [1.5] * 3, "alpaca-7b": [1.25, None, 1.0]}
    for model, values in preferences.items():
        outputs = [
            {
                "dataset": "koala" if number else "helpful_base",
                "instruction": text,
                "output": f"{model} on {number}",
                "generator": model,
            }
            for number, text in enumerate(questions)
        ]
        verdicts = [
            {
                "instruction": text,
                "output_1": "the reference",
                "generator_1": "gpt4_1106_preview",
                "output_2": f"{model} on {number}",
                "generator_2": model,
                "annotator": "weighted_alpaca_eval_gpt4_turbo",
                "preference": value,
                "raw_completion": {"logprobs": {"content": [{"token": "m", "logprob": -0.1}]}},
            }
            for number, (text, value) in enumerate(zip(questions, values, strict=True))
        ]
        write_json(folder / model / "model_outputs.json", outputs)
        write_json(folder / model / "weighted_alpaca_eval_gpt4_turbo" / "annotations.json", verdicts[::-1])
    write_json(folder / "unjudged" / "model_outputs.json", outputs)
    (folder / "README.md").write_text("About.")
    return folder


def gmtrouter_row(question, turn, judge, model, *ratings):
    steps = [
        {"query": f"{question}, step {step}?", "query_emb": [0.1, 0.2], "response": f"{model} {step}", "rating": rating}
        for step, rating in enumerate(ratings)
    ]
    return {
        "judge": judge,
        "model": model,
        "question_id": question,
        "turn": turn,
        "conversation": steps,
        "model_emb": [0.3, 0.4],
        "encoder": "all-mpnet-base-v2",
    }


GMTROUTER = [
    gmtrouter_row("q1", 1, "judge0", "gpt-4", 1.0),
    gmtrouter_row("q1", 1, "judge0", "claude-v1", 0.0),
    gmtrouter_row("q1", 1, "judge1", "gpt-4", 0.25, 1.0),
    gmtrouter_row("q1", 1, "judge1", "claude-v1", 0.5, 0.0),
    gmtrouter_row("q2", 1, "judge1", "claude-v1"),
    gmtrouter_row("q2", 1, "judge1", "gpt-4", 0.5),
]

ALPACA = [
    {"instruction": "Give three tips.", "input": "", "output": "1. Eat\n2. Sleep"},
    {"instruction": "Name the odd one.", "input": "Twitter, Instagram, Telegram", "output": "[Telegram]"},
]
GSM8K = [
    {"question": "Natalia sold 48 clips and half as many. How many?", "answer": "48/2 = <<48/2=24>>24\n#### 72"},
    {"question": "A big one?", "answer": "So much.\n#### 1,234"},
    {"question": "Unanswered?", "answer": "I do not know"},
]
_PARAGRAPH = {
    "context": "The hall's gold statue is of the Virgin Mary.",
    "qas": [
        {
            "id": "5733a",
            "question": "Of whom?",
            "answers": [
                {"text": "the Virgin Mary", "answer_start": 28},
                {"text": "Virgin Mary", "answer_start": 32},
                {"text": "Virgin Mary", "answer_start": 32},
            ],
        },
        {"id": "5733b", "question": "Of what?", "answers": [{"text": "gold", "answer_start": 11}]},
        {"id": "5733c", "question": "When?", "answers": []},
    ],
}
SQUAD = {"version": "1.1", "data": [{"title": "Notre_Dame", "paragraphs": [_PARAGRAPH]}]}
SQUAD_ROWS = [
    {
        "id": question["id"],
        "title": "Notre_Dame",
        "context": _PARAGRAPH["context"],
        "question": question["question"],
        "answers": {key: [answer[key] for answer in question["answers"]] for key in ("text", "answer_start")},
    }
    for question in _PARAGRAPH["qas"]
]
MULTI_NEWS = [
    {"document": "First report. ||||| Second\nreport. |||||", "summary": "Two reports."},
    {"document": " ||||| ", "summary": "Nothing."},
    {"document": "Only one.", "summary": "One."},
]
