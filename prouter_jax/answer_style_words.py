"""Words and phrases by which the style of an answer is told: who speaks to whom, how warmly, how surely, how playfully.

All in small letters, with straight apostrophes.
"""


def _words(kind: str, listed: str) -> dict[str, str]:
    return dict.fromkeys(listed.split(), kind)


# Each word counts for one kind.
KIND_OF = {
    **_words("first_person", "i i'm i've i'd i'll me my mine myself we we're we've we'll us our ours ourselves"),
    **_words("second_person", "you you're you've you'd you'll your yours yourself yourselves"),
    **_words(
        "warm_words",
        "glad happy delighted wonderful lovely love loved dear kind kindly warm warmly welcome thank thanks grateful "
        "congratulations proud hope hopefully enjoy care caring gentle friend friends friendly sorry heart heartfelt "
        "support supportive encourage encouraging comfort cheer cheers beautiful amazing great awesome understand",
    ),
    **_words(
        "playful_words",
        "fun funny haha hehe joke jokes joking silly giggle laugh whoosh wow whoa oops yay hooray boom ta-da voila "
        "magic magical wizard dragon pirate superhero superpower adventure imagine picture pretend quirky cheeky "
        "mischievous wiggle wacky zany party dance treasure secret sidekick quest spoiler",
    ),
    **_words(
        "hedges",
        "may might maybe perhaps possibly probably likely unlikely seems seem appears appear could generally usually "
        "typically often sometimes somewhat roughly approximately about suggest suggests depends depending presumably",
    ),
    **_words(
        "connectives",
        "because since therefore thus hence so consequently accordingly however although though whereas while "
        "moreover furthermore additionally nevertheless nonetheless otherwise instead unless despite due",
    ),
}
EXAMPLES = ("for example", "for instance", "such as", "e.g.", "imagine that", "say you", "to illustrate")
AFFIRMATIONS = (
    *("sure", "certainly", "of course", "absolutely", "definitely", "yes", "great question", "good question"),
    *("what a great", "what a wonderful", "happy to", "i'd be happy", "i would be happy", "i'd love to", "gladly"),
)
REFUSALS = (
    *("i cannot", "i can't", "i can not", "i am unable", "i'm unable", "i am not able to", "i'm not able to"),
    *(
        "i'm sorry, but",
        "i am sorry, but",
        "as an ai",
        "i won't",
        "i will not",
        "i must decline",
        "i do not have access",
    ),
    *("i don't have access", "i don't have the ability"),
)
OFFERS = (
    *("let me know", "feel free", "hope this helps", "hope that helps", "happy to help", "if you have any", "just ask"),
    *("would you like", "if you need", "if you'd like", "anything else"),
)
