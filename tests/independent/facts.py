"""What a reader found, in a form that can be compared: outcomes and decisions by the text of the query."""

import collections
import math

from public_facts import decision_facts, outcome_facts


class Facts:
    """Queries, outcomes and decisions as they are read; the rules on repeats are those of the documents."""

    def __init__(self):
        self.queries, self.outcomes, self.decisions = {}, {}, []

    def query(self, id_, text, task=""):
        """Whether a query has this text; its first record counts."""
        return self.queries.setdefault(id_, (text, task))[0] == text

    def outcome(self, query, llm, response="", effect=None, cost=None, tokens=(None, None)):
        """The first answer of an LLM to a query counts."""
        self.outcomes.setdefault((query, llm), (effect, cost, *tokens, response))

    def decide(self, user, query, offer, values, first=None, time=None):
        self.decisions.append((user, query, offer, values, first, time))

    def by_query(self):
        found = collections.defaultdict(list)
        for (query, llm), facts in self.outcomes.items():
            text, task = self.queries[query]
            found[text].append(_line("outcome", llm, task or None, *facts))
        for user, query, offer, values, first, time in self.decisions:
            found[self.queries[query][0]].append(
                _line("decision", user, sorted(offer), first, time, sorted(values.items()))
            )
        return {text: sorted(lines) for text, lines in found.items()}


def of_project(data):
    """The same of the project's `Interactions`."""
    found = collections.defaultdict(list)
    for (_, llm), (text, task, *facts) in outcome_facts(data).items():
        found[str(text)].append(_line("outcome", llm, task, *facts))
    for user, _, text, offer, first, time, values in decision_facts(data):
        found[str(text)].append(_line("decision", user, sorted(offer), first, time, sorted(values.items())))
    return {text: sorted(lines) for text, lines in found.items()}


def _line(*facts):
    return repr(tuple(map(_plain, facts)))


def _plain(fact):
    """Numbers to five digits, as the project keeps single precision; a missing text is an empty one."""
    if isinstance(fact, list | tuple):
        return tuple(map(_plain, fact))
    if isinstance(fact, bool | int | float):
        return None if math.isnan(fact) else f"{float(fact) + 0.0:.4g}"
    return None if fact is None or fact == "" else str(fact)
