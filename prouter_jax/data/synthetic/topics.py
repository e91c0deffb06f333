"""Word lists of the embedded benchmark: topics with templates of queries, and registers (audiences)."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Topic:
    """A topic. All lists are texts with `|` between their items.

    Attributes:
      name, description: of the topic's task.
      things: words for {thing} in templates.
      terms: words for {term} in hard templates.
      easy, hard: templates of queries.
      demands: further sentences; the more of them, the harder the query.
    """

    name: str
    description: str
    things: str
    terms: str
    easy: str
    hard: str
    demands: str


# name, addition to the description, sentences in the text
REGISTERS = (
    ("", "", ("",)),
    (
        "for beginners",
        "The person is new to the subject and wants plain words.",
        ("I am completely new to this.", "I am a beginner, so use plain words.", "Explain it from the very start."),
    ),
    (
        "at work",
        "It is for the office and has to be fit to send on.",
        ("It is for a client at work.", "My manager wants it before the meeting.", "It goes into our team report."),
    ),
    (
        "for a school class",
        "It is for pupils and has to suit a classroom.",
        ("It is for the pupils in my class.", "My teacher set this as homework.", "I want to use it in a lesson."),
    ),
)

TOPICS = (
    Topic(
        "grade-school maths",
        "Word problems that need a few steps of arithmetic.",
        "apples|stickers|marbles|pencils|eggs|tickets|buttons|cupcakes|crayons|bottles",
        "compound percentage|weighted average|least common multiple|rate of flow|ratio of mixtures|harmonic mean",
        "{person} has {number} {thing} and buys {count} more. How many {thing} are there now?|What is {count} times "
        "{number}?|{person} shares {count} {thing} with {number} friends. How many are left over?|How much do {count} "
        "{thing} cost at {number} cents each?",
        "A shop in {place} sells {number} {thing} in {count} weeks; work out the {term} of the sales to two decimals.|"
        "{person} pours {number} {thing} into crates of {count} and loses a fraction of them: solve for the {term}.|"
        "Using the {term}, find how many of {number} {thing} remain after {count} rounds of doubling and removal.",
        "Every third of the {thing} is given back on day {more}.|The price then rises by 12.5 percent.|Subtract a tax "
        "of {more} percent at the end.|Show each equation.|Check the result by substitution.|Half of the remainder is "
        "divided among {more} people.|Give the answer as a reduced fraction.",
    ),
    Topic(
        "reading comprehension",
        "Questions whose answer stands in a passage that is given.",
        "lantern|letter|ferry|barn|violin|lighthouse|notebook|kite|stray dog|market stall",
        "unreliable narrator|implied motive|foreshadowing|dramatic irony|shift of perspective|central metaphor",
        'Passage: "{person} found a {thing} near {place}." Where was the {thing} found?|Read this: "{person} sold the '
        '{thing} for {count} coins." Who sold the {thing}?|Passage: "On Monday {person} took the {thing} home." On '
        "which day did it happen?",
        'Passage: "{person} said nothing of the {thing}, though all {number} people of the village near {place} had '
        'seen it burn, and {count} winters passed." How does the passage use {term}?|Read the passage: "The {thing} '
        "was never {person}'s, whatever the {number} pages of the court at {place} claimed.\" Where does the author "
        "use {term}, and in which words?",
        "Quote the exact phrase of the passage.|Say what the passage leaves open.|Contrast it with the narrator's "
        "view.|Rule out the {more} most tempting wrong readings.|Separate what is stated from what is inferred.|Name "
        "the tone of the passage's last clause.|Tell which sentence of the passage would change the answer.",
    ),
    Topic(
        "summarising news",
        "News reports that have to be made short without losing the point.",
        "harbour strike|school reform|city election|bridge closure|football final|heat wave|train timetable|museum "
        "fire",
        "fiscal consolidation|regulatory arbitrage|coalition agreement|supply-chain audit|judicial review|bond spread",
        "Summarise this news in one sentence: the {thing} in {place} ended after {count} days.|Write a headline for "
        "the report on the {thing} in {place}.|Sum up: {person}, mayor of {place}, spoke about the {thing} today.",
        "Summarise these reports: the {thing} in {place} cost {number} jobs, ministers cite {term}, while {person} of "
        "the opposition disputes {count} of the figures.|Condense the coverage of the {thing}: {number} documents on "
        "{term} leaked in {place}, {person} resigned, and {count} newspapers report it differently.",
        "Attribute every claim to its source.|Keep all dates and figures of the report.|Use at most {more} words.|"
        "Mark where the newspapers contradict each other.|Leave out opinion and speculation.|End with what "
        "journalists still do not know.|Order the events by time, not as reported.",
    ),
    Topic(
        "coding help",
        "Writing, explaining and repairing programs.",
        "Python list|JavaScript function|SQL table|Java class|shell script|regular expression|CSV file|Rust loop",
        "race condition|memory leak|deadlock|cache stampede|buffer overrun|circular import|stack overflow",
        "How do I sort a {thing} with {count} entries?|What does this {thing} error on line {count} mean?|Write a "
        "{thing} that prints the name {person} {count} times.|How do I rename a {thing} in my code?",
        "My {thing} service in {place} handles {number} requests a second and shows a {term}; find the bug and "
        "refactor the {count} modules.|Implement a {thing} parser for {number} records that avoids a {term} with "
        "{count} threads.|Review this {thing} of {number} lines by {person}: prove that no {term} occurs with {count} "
        "workers.",
        "It must run in O(n log n).|Write unit tests for every edge case.|Do not use any external library.|Keep the "
        "API backward compatible with version {more}.|Handle Unicode and null bytes in the input.|Explain the memory "
        "use of each function.|Annotate all the types of the code.",
    ),
    Topic(
        "everyday advice",
        "Small and large questions of daily life among people.",
        "neighbour|roommate|birthday gift|messy kitchen|morning routine|noisy dog|first date|job interview|wedding "
        "speech",
        "conflicting loyalties|chronic procrastination|boundary setting|grief in the family|burnout|caregiver fatigue",
        "What should I say to my {thing} {person}?|Any tips for a {thing} in {place}?|How do I deal with a {thing} "
        "this weekend?|Give me {count} ideas about my {thing}.",
        "I moved to {place} with {person}, we have {number} in debt, and since the {thing} there is {term} between "
        "us; how do I go on after {count} months?|After {count} years of {term}, the {thing} with {person} in {place} "
        "brought it all up again and {number} messages later nobody talks; what would you advise?",
        "We cannot afford to move out.|My mother takes the other side.|I promised not to tell anybody.|Consider how "
        "the children feel.|Give me the exact words to say.|We tried counselling {more} times.|Weigh what happens if "
        "I do nothing.",
    ),
    Topic(
        "translation",
        "Turning sentences from one language into another.",
        "French|Spanish|German|Italian|Japanese|Portuguese|Turkish|Swedish|Korean|Polish",
        "subjunctive mood|honorific register|untranslatable pun|archaic spelling|regional idiom|metrical verse",
        'Translate "good morning, {person}" into {thing}.|How do you say "{count} tickets to {place}" in {thing}?|'
        'What is the {thing} word for "{count} friends"?|Translate into {thing}: "I live in {place}."',
        'Translate into {thing}, keeping the {term}: "Had {person} but known of the {number} souls of {place}, he '
        'would not have sold the {count} ships."|Render this clause of a contract in {place} into {thing} with its '
        '{term}: "the party {person} shall, notwithstanding section {count}, forfeit {number} crowns".',
        "Keep the rhyme of the original.|Add a literal gloss under each line.|Explain every choice between synonyms.|"
        "Use the formal address throughout.|Note false friends between the languages.|Give {more} alternative "
        "renderings.|Transliterate the pronunciation.",
    ),
    Topic(
        "history",
        "What happened in the past, when, and why.",
        "Roman Empire|French Revolution|Silk Road|Cold War|Ottoman sultans|Industrial Revolution|Viking raids|Black "
        "Death",
        "historiography|dynastic succession|agrarian crisis|mercantilism|primary sources|balance of power",
        "When did the {thing} begin?|Name {count} facts about the {thing}.|Who was important in the {thing}?|Did the "
        "{thing} reach {place}?|What ended the {thing}, in a word?",
        "Assess how far {term} explains the {thing} around {place}, given that {number} households and {count} towns "
        "were recorded.|Compare {count} schools of {term} on the {thing} and the {number} people displaced from "
        "{place}.|To what extent did {term} in {place} shape the {thing} after the census of {number} persons?",
        "Cite historians of both camps.|Distinguish long-term from immediate causes.|Date every treaty and battle.|"
        "Discuss the reliability of chronicles.|Compare it with the century before.|Argue against your own thesis.|"
        "Include the view of ordinary people of the era.",
    ),
    Topic(
        "cooking",
        "Recipes, techniques and what to do with what is in the kitchen.",
        "pancakes|lentil soup|roast chicken|banana bread|fried rice|tomato sauce|omelette|apple pie|flatbread|risotto",
        "emulsion|sous-vide|lamination|fermentation|spherification|Maillard reaction|tempering",
        "How long do I cook {thing} for {count} people?|Give me a simple recipe for {thing}.|Can I freeze {thing}?|"
        "What goes well with {thing} at {person}'s dinner?",
        "Plan a menu around {thing} using {term} for {count} guests in {place} with {number} grams of flour in all.|"
        "My {thing} failed at {number} metres of altitude near {place}: correct the {term} for a batch of {count}.|"
        "Scale {thing} with {term} from {count} portions to {number} and adjust oven times.",
        "One guest eats no gluten and another no nuts.|Only one oven shelf is free.|Weigh every ingredient in grams.|"
        "Explain the chemistry of each step.|Have all dishes ready at the same minute.|Stay below {more} euros a "
        "plate.|Suggest a substitute for every dairy ingredient.",
    ),
    Topic(
        "law",
        "Rights, contracts and rules, explained or applied to a case.",
        "rental contract|parking fine|trademark|will|refund|labour contract|building permit|non-disclosure agreement",
        "estoppel|force majeure|tortious liability|adverse possession|fiduciary duty|conflict of laws|res judicata",
        "Do I need a lawyer for a {thing} in {place}?|What is a {thing}?|Can I cancel a {thing} within {count} days?|"
        "Who signs a {thing}, {person} or the court?",
        "{person} breached a {thing} worth {number} in {place} and pleads {term}; assess the claim under {count} "
        "statutes.|Advise whether {term} bars the suit over a {thing} that {person} assigned to {number} creditors of "
        "{place} {count} months ago.",
        "The defendant is a minor.|Consider limitation periods.|Discuss remedies and damages.|The court sits abroad.|"
        "Cite the leading precedents.|A clause excludes liability for {more} months.|Draft the plaintiff's pleading.",
    ),
    Topic(
        "science questions",
        "How nature works, from school physics to research.",
        "rainbow|volcano|magnet|comet|battery|tornado|glacier|fossil|coral reef|lightning bolt",
        "quantum tunnelling|enthalpy|epigenetic methylation|plate tectonics|Hamiltonian symmetry|redox potential|"
        "Bayesian inference",
        "Why does a {thing} form?|What is a {thing} made of?|How does a {thing} work?|Tell me {count} facts on the "
        "{thing}.|Can {person} see a {thing} from {place}?",
        "Derive how {term} governs a {thing} at {number} kelvin and estimate the error for {count} measurements.|"
        "Design an experiment in {place} with {number} samples that separates {term} from other effects on a {thing}, "
        "using {count} controls.|Explain the role of {term} in a {thing} when the pressure is {number} pascal.",
        "State all assumptions and units.|Give the differential equation.|Discuss sources of systematic error.|"
        "Estimate the order of magnitude first.|Relate it to the second law of thermodynamics.|Compare {more} "
        "competing theories.|Say which observation would falsify it.",
    ),
    Topic(
        "creative writing",
        "Stories, poems and characters made up on request.",
        "dragon|lost robot|talking cat|haunted attic|pirate queen|shy ghost|time machine|moonlit garden",
        "the villanelle|epistolary frame|stream of consciousness|iambic pentameter|magical realism|nested flashback",
        "Write a short poem about a {thing}.|Tell me a story about {person} and a {thing}.|Invent a name for a "
        "{thing} from {place}.|Write {count} lines on a {thing}.",
        "Write {number} words in the manner of {term}: {person} meets a {thing} in {place} and ages {count} years.|"
        "Use {term} for a tale of a {thing}, told by {count} voices of {place}, with {number} as a hidden number.|"
        "Draft the opening of a novel in {term}: {person}, a {thing}, and {number} days in {place}.",
        "Never use the letter k.|The last line must mirror the first.|Avoid every cliche of the genre.|Let each "
        "stanza change the speaker.|Weave in {more} recurring images.|Make the ending ambiguous.|Keep the dialogue in "
        "verse.",
    ),
    Topic(
        "personal finance",
        "Saving, borrowing, taxes and investing for private people.",
        "savings account|mortgage|pension plan|credit card|stock fund|student loan|household budget|car insurance",
        "amortisation schedule|marginal tax rate|dollar-cost averaging|duration risk|capital-gains harvesting|annuity",
        "What is a {thing}?|Should I get a {thing} in {place}?|How do I save {number} a month with a {thing}?|Is a "
        "{thing} at {count} percent a good idea?",
        "I earn {number} in {place}, pay {count} percent on a {thing} and consider its {term}; what is the best plan?|"
        "Compare a {thing} using {term} against paying off {number} over {count} years, as {person} from {place} "
        "advised.|Model the {term} of a {thing} of {number} with inflation for {count} years.",
        "I also pay taxes in a second country.|Interest may rise by two points.|Show the cash flow of every year.|"
        "Keep an emergency fund untouched.|Include fees and exchange rates.|Test a market crash in year {more}.|My "
        "spouse retires earlier than I do.",
    ),
    Topic(
        "travel planning",
        "Trips, routes and what to see on the way.",
        "weekend trip|train journey|hiking tour|beach holiday|road trip|city walk|museum visit|camping trip",
        "visa waiver|multi-leg itinerary|open-jaw ticket|altitude acclimatisation|layover window|rail pass validity",
        "What should I see in {place} on a {thing}?|Is {place} nice for a {thing}?|What do I pack for a {thing}?|How "
        "many days does a {thing} in {place} take?",
        "Plan a {thing} from {place} for {count} people with a budget of {number} and with {term} in mind.|Optimise a "
        "{thing} over {count} stops after {place} under {number} kilometres, with regard to the {term}.|{person} and "
        "I start a {thing} in {place} with {number} to spend: solve the {term} for {count} borders.",
        "One traveller uses a wheelchair.|No flight may leave before noon.|Every hotel must take pets.|Avoid all toll "
        "roads.|List departure times and fares.|Keep {more} hours free for a conference.|Have a rainy-day alternative "
        "for each stop.",
    ),
)
