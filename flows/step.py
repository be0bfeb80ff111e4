"""step(conversation, said, facts) -> Turn: the whole machine in one function.

Back, more, home, a bad answer, keywords, type-ahead, resuming and expiry live here, once, for every flow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from flows import FLOWS, INTENTS
from flows.flow import Flow
from flows.reader import is_unclear, mobile_number, one_line
from flows.records import (
    Answered,
    Confirm,
    Conversation,
    Effect,
    Facts,
    Guess,
    Note,
    Option,
    Place,
    Said,
    Tell,
    Text,
    Turn,
    Watch,
    replace,
)
from flows.reply import answerable
from flows.screens import INDEX, LONGEST_OPTION, Bad, Screen

#: From this many bad answers in a row on, the help line is named above the screen.
TRIES = 3
HOME = Place("menu", "start")
#: Where a meter reader's phone begins.
ROUND = Place("reader", "start")
#: What answers a bill SMS: said without one, it is answered that the time is over.
LAPSED = frozenset({"1", "2", "3", "4"})
#: A language that is named is what is wanted.
LANGUAGES = frozenset(FLOWS["welcome"].screens["language"].options)


def step(conversation: Conversation, said: Sequence[Said], facts: Facts, *, dialled: bool = False, lost: bool = False) -> Turn:
    """Take in what a person said, one input after the other, and answer the last one taken.

    `dialled` says that a USSD session begins: the first screen (or the offer to go on with what was left unfinished) comes
    before any input. Several inputs are type-ahead, which stops at the first bad answer, at a deliberate screen, and
    after anything was done; a name and an address for a request come together. `lost` says that they are the answers of a
    live session of which we know nothing any more: they are taken from its very first screen on.
    """
    conversation = _settle(conversation, facts)
    if facts.channel == "missed":
        return _missed(conversation, facts)
    before = conversation.place
    if facts.channel == "sms":
        said = _without_mobiles(said, facts)
    said, conversation, facts = _with_what_waits(conversation, said, facts)
    if dialled or not said:
        turn = _dial(conversation, () if lost else said, facts)
        if turn.conversation.ahead:
            return turn
    else:
        turn = Turn(conversation, None)
    effects: list[Effect] = []
    for index, one in enumerate(said):
        if one.intent and index + 1 < len(said) and said[index + 1].number and one.intent in _own_words(turn.conversation.place):
            if index + 2 == len(said):
                continue  # the number that follows is the answer
            one = replace(one, intent="")  # of several it is not known which is
        after = _hear(turn.conversation, one, facts)
        if index and after.conversation.tries:
            if not one.number:
                continue  # a word behind a keyword that fits nothing here: it asked for nothing by itself
            if said[0].intent and len(one.number) > LONGEST_OPTION:
                after = _no_account(after)
        turn = after
        effects += turn.effects
        if index + 1 < len(said) and said[index + 1].intent:  # NAAM Ramesh PATA Station Road
            if any(isinstance(effect, Note) for effect in turn.effects):
                continue
            break
        if turn.conversation.tries or one.aadhaar or (turn.effects and (index or before.flow != "noted")):
            break
        if not _takes_ahead(turn.conversation):
            if _asks_whose(turn.conversation.place):
                turn = replace(turn, conversation=replace(turn.conversation, ahead=tuple(said[index + 1 :])))
            break
    if turn.conversation.ahead and turn.conversation.lang and turn.conversation.place.screen == "home":
        ahead, conversation = turn.conversation.ahead, replace(turn.conversation, ahead=())
        later = step(conversation, ahead, facts)
        return replace(later, effects=(*effects, *later.effects))
    if facts.channel == "ussd" and is_unfinished(turn.conversation.place) and not is_unfinished(before):
        effects.append(Watch())
    return Turn(turn.conversation, turn.text, tuple(effects))


def _without_mobiles(said: Sequence[Said], facts: Facts) -> Sequence[Said]:
    """What was said without mobile numbers in a sentence: a way to call back, and nobody's account. A number that stands alone
    behind a keyword is an account, however it looks: a wrong one is to be counted as a guess."""
    if not said:
        return said
    first, *behind = said
    in_words = first.account and not first.number and not first.numbers and re.search(r"[^\W\d_]", first.words or first.raw)
    if in_words and first.account not in facts.known and mobile_number(first.account, facts.policy):
        first = replace(first, account="")
    return [first, *(one for one in behind if not mobile_number(one.number, facts.policy))]


def _asks_whose(place: Place) -> bool:
    """Whether it is asked here whose account it is."""
    return place.screen == "whose" or place.flow == "noted"


def _with_what_waits(
    conversation: Conversation, said: Sequence[Said], facts: Facts
) -> tuple[Sequence[Said], Conversation, Facts]:
    """What was said before it was asked whose account it is follows the yes: METER 100000001 JAL GAYA."""
    waits, place = conversation.ahead, conversation.place
    if place.flow == "welcome" or not (waits or _asks_whose(place)):
        return said, conversation, facts
    if waits:
        conversation = replace(conversation, ahead=())
    meant = _chosen(conversation, said[0]) if said and _asks_whose(place) else None
    if meant is None or meant[0] != "yes":
        return said, conversation, facts
    if place.flow == "noted":
        facts = replace(facts, noted=facts.noted - {place.answers["account"]})
    return (*said, *waits), conversation, facts


def _no_account(turn: Turn) -> Turn:
    """A number behind a keyword that is no option was meant for an account: BIL 123."""
    if turn.text is None:
        return turn
    top = tuple("ca" if why == "option" else why for why in turn.text.top)
    return replace(turn, text=replace(turn.text, top=top))


def _missed(conversation: Conversation, facts: Facts) -> Turn:
    """A missed call asks for the bill; a service half done is not disturbed by it."""
    if not is_unfinished(conversation.place) or not facts.linked or facts.linked[0].account in facts.noted:
        return _hear(_forget(conversation), Said(intent="BILL"), facts)
    turn = _enter(_forget(conversation), Place("bill", "start", {"account": facts.linked[0].account}), facts, Said())
    return Turn(conversation, replace(turn.text, options=()) if turn.text else None)


def stand(conversation: Conversation, facts: Facts) -> Turn:
    """What stands on the phone now, said once more; nothing moves."""
    conversation = _settle(conversation, facts)
    if conversation.pages:
        return Turn(conversation, None)
    place = conversation.place
    if not place.screen:
        return _dial(conversation, (), facts)
    return _show(FLOWS[place.flow](conversation, place, facts, Said()))


# --- where a conversation begins and what it forgets --------------------------------------------------------------------


def _settle(conversation: Conversation, facts: Facts) -> Conversation:
    """Drop what is too old to be meant, or what this version of the flows does not know any more."""
    place, held = conversation.place, conversation.held
    if not _exists(place) or (held and not _exists(held)):
        return _forget(conversation)
    if conversation.seen and facts.now - conversation.seen > facts.policy.idle:
        return _forget(conversation)
    account = place.answers.get("account")
    if account and account not in facts.known:
        return _forget(conversation)
    return conversation


def _exists(place: Place) -> bool:
    """Whether this version of the flows knows it."""
    flow = FLOWS.get(place.flow)
    return flow is not None and (not place.screen or place.screen in flow.screens)


def _forget(conversation: Conversation) -> Conversation:
    if not conversation.place.screen and not conversation.held and not conversation.tries:
        return conversation  # there is nothing to forget
    return replace(conversation, place=Place(), held=None, shown=(), pages=(), page=0, tries=0)


def _dial(conversation: Conversation, said: Sequence[Said], facts: Facts) -> Turn:
    """The first screen of a USSD session: the language, the unfinished request, or home."""
    place = conversation.place
    if not conversation.lang:
        return _enter(replace(_forget(conversation), ahead=tuple(said)), Place("welcome", "language"), facts, Said())
    fresh = conversation.seen is not None and facts.now - conversation.seen <= facts.policy.resume
    left_over = (
        place if is_unfinished(place) else conversation.held if conversation.held and place.screen == "unfinished" else None
    )
    if left_over and fresh and not said:
        return _enter(replace(_forget(conversation), held=left_over), Place("menu", "unfinished"), facts, Said())
    return _enter(_forget(conversation), ROUND if facts.reader else HOME, facts, Said())


def is_unfinished(place: Place) -> bool:
    """Whether somebody would be sorry to lose this place: a service begun, not a menu or a bill looked at."""
    return bool(place.screen) and FLOWS[place.flow].files and bool(place.trail)


# --- one input ----------------------------------------------------------------------------------------------------------


def _hear(conversation: Conversation, said: Said, facts: Facts) -> Turn:
    """Take in one input."""
    if said.number == "9" and conversation.page + 1 < len(conversation.pages):
        return Turn(replace(conversation, page=conversation.page + 1, tries=0), None)
    if not conversation.lang and (said.intent or not conversation.place.screen or _is_past_welcome(conversation, said, facts)):
        if conversation.place.flow == "welcome":
            conversation = _forget(conversation)
        conversation = replace(conversation, lang=said.register or "hi-Latn", ahead=())
        turn = _hear(conversation, said, facts)
        welcome = Tell(Text("sms", "welcome"), phone=conversation.phone)
        return replace(turn, effects=(*turn.effects, welcome))
    place = conversation.place
    reply = _reply(conversation, said, facts) if facts.channel == "sms" else None
    if reply is not None:
        return reply
    if not place.screen:
        return _unasked(conversation, said, facts)
    walk = FLOWS[place.flow](conversation, place, facts, said)
    if walk.is_barred():
        return _enter(_forget(conversation), Place(place.flow, "start", place.answers), facts, Said())
    if said.number == "0":
        return _back(conversation, facts)
    screen = walk.screens[place.screen]
    chosen = _chosen(conversation, said)
    if chosen is None or _means_another(said, place):
        if said.intent in INTENTS and said.intent not in screen.own:
            return _keyword(conversation, said, facts)
        if _names_a_language(said) and place.flow != "welcome":
            return _speak(conversation, said, facts)
        else_meant = said.guesses or (screen.tells and not said.number)
        if else_meant and facts.channel == "sms" and not is_unfinished(place):
            return _unasked(_forget(conversation), said, facts)  # what they came for is told: this begins something new
        if screen.reader is None:
            if (said.account or said.ticket) and not is_unfinished(place):
                return _unasked(_forget(conversation), said, facts)  # a number that speaks for itself
            return _again(walk, Bad("option"))
        value = screen.reader(said, walk)
        if isinstance(value, Bad):
            return _again(walk, value)
        chosen = ("given", value)
    answer, value = chosen
    walk.answers[screen.field or place.screen] = value or answer
    walk.take(answer)
    return _arrive(walk, came_from=place.screen)


def _is_past_welcome(conversation: Conversation, said: Said, facts: Facts) -> bool:
    """Whether a phone that hung up on the question for its language now writes about something else."""
    return facts.channel == "sms" and conversation.place.flow == "welcome" and _chosen(conversation, said) is None


def _names_a_language(said: Said) -> bool:
    """Whether one language is named, and no more than that is said."""
    return not said.number and len(said.answers & LANGUAGES) == 1


def _speak(conversation: Conversation, said: Said, facts: Facts) -> Turn:
    """Take the language that was named; a question that is open is asked in it."""
    return _hear(_keyword(conversation, replace(said, intent="LANG"), facts).conversation, said, facts)


def _reply(conversation: Conversation, said: Said, facts: Facts) -> Turn | None:
    """The answer to a message we sent, if that and not the open question is meant.

    What the open question can take is its own, unless the message came after it; a service half done keeps its answers
    anyhow. A reader's line (account and reading) is never an answer to anything.
    """
    if facts.reader and (one_line(said) or is_unclear(said, facts.reader)):
        return _enter(_forget(conversation), Place("reader", "line"), facts, said)
    place = conversation.place
    newest = facts.contexts[0] if facts.contexts else None
    came_later = newest is not None and (conversation.seen is None or newest.at >= conversation.seen)
    if newest and came_later and newest.kind == "unfinished" and said.number and is_unfinished(place):
        turn = _show(FLOWS[place.flow](conversation, place, facts, Said()))
        return replace(turn, effects=(*turn.effects, Answered(newest.id)))
    if said.intent:
        return None
    if newest and came_later and newest.kind == "finished" and "no" in said.answers:
        return _keyword(conversation, replace(said, intent="NOTDONE"), facts)  # the bare NAHI our own message asked for
    if place.screen:
        wants = FLOWS[place.flow].screens[place.screen].reader is not None or _chosen(conversation, said) is not None
        if is_unfinished(place) or said.number == "0" or (wants and not (came_later and _chosen(conversation, said))):
            return None
    if answerable(facts, said) or (facts.lapsed and said.number in LAPSED and not place.screen):
        return _enter(_forget(conversation), Place("reply", "start"), facts, said)
    return None


def _chosen(conversation: Conversation, said: Said) -> tuple[str, str] | None:
    """The option shown under this number, or the only one these words stand for."""
    shown = conversation.shown
    if said.account:
        return ("account", said.account) if ("account", said.account) in shown else None
    if said.number:
        choice = said.number.lstrip("0") if len(said.number) <= LONGEST_OPTION else ""
        index = INDEX.get(choice, len(shown))
        return shown[index] if index < len(shown) else None
    meant = [option for option in shown if option[0] in said.answers]
    return meant[0] if len(meant) == 1 else None


def _means_another(said: Said, place: Place) -> bool:
    """Whether the words name another service and then answer its question, not this one: METER JAL GAYA."""
    flow = FLOWS[INTENTS[said.intent][0]] if said.intent in INTENTS else None
    return flow is not None and flow.files and flow.name != place.flow and bool(said.words)


def _back(conversation: Conversation, facts: Facts) -> Turn:
    """One page back, else one screen back with its answer kept, else home."""
    if conversation.page:
        return Turn(replace(conversation, page=conversation.page - 1, tries=0), None)
    place = conversation.place
    if not place.trail:
        if FLOWS[place.flow].aside and conversation.held:
            held = conversation.held
            return _show(FLOWS[held.flow](replace(conversation, held=None, tries=0), held, facts, Said()))
        return _enter(_forget(conversation), HOME, facts, Said()) if conversation.lang else _dial(conversation, (), facts)
    back = replace(place, screen=place.trail[-1], trail=place.trail[:-1])
    return _show(FLOWS[place.flow](replace(conversation, tries=0), back, facts, Said()))


def _again(walk: Flow, bad: Bad) -> Turn:
    """The same screen with the reason on top; after some tries with the help line; too many wrong guesses end it."""
    conversation = replace(walk.conversation, tries=walk.conversation.tries + 1)
    facts, effects = walk.facts, (Guess(),) if bad.guess else ()
    if bad.guess and facts.guesses + 1 >= facts.policy.guesses_a_day:
        turn = _enter(_forget(conversation), Place("menu", "locked"), facts, Said())
        return replace(turn, effects=effects)
    walk.conversation = conversation
    turn = _show(walk, top=(bad.why, "help_line") if conversation.tries >= TRIES else (bad.why,))
    return replace(turn, effects=effects)


def _unasked(conversation: Conversation, said: Said, facts: Facts) -> Turn:
    """Something said while nothing is asked: a keyword, a number that speaks for itself, or a word to guess at."""
    if said.intent in INTENTS:
        return _keyword(conversation, said, facts)
    named = {"account": said.account} if said.account in facts.known else {}
    if said.account and not (said.guesses and named):
        return _keyword(conversation, replace(said, intent="BILL"), facts)
    if said.ticket:
        return _keyword(conversation, replace(said, intent="STATUS"), facts)
    if "no" in said.answers and any(context.kind == "finished" for context in facts.contexts):
        return _keyword(conversation, replace(said, intent="NOTDONE"), facts)  # the bare NAHI our own message asked for
    if said.number:
        return _enter(_forget(conversation), HOME, facts, said)
    if _names_a_language(said):
        return _speak(conversation, said, facts)
    conversation = replace(conversation, tries=conversation.tries + 1)
    if not said.guesses:
        return _enter(conversation, Place("menu", "unknown"), facts, said)
    return _enter(conversation, Place("menu", "guess", {"guesses": " ".join(said.guesses), **named}), facts, said)


def _keyword(conversation: Conversation, said: Said, facts: Facts) -> Turn:
    """Enter where the keyword leads. An aside (help, language ...) holds the open question; anything else replaces it."""
    flow, screen = INTENTS[said.intent]
    place = conversation.place
    if FLOWS[flow].aside:
        held = place if place.screen and not FLOWS[place.flow].aside else conversation.held
        return _enter(replace(_forget(conversation), held=held), Place(flow, screen), facts, said)
    named = facts.known.get(said.account)
    answers = {"account": said.account} if named else {}
    turn = _enter(_forget(conversation), Place(flow, screen, answers), facts, said)
    for number, asked in ((said.account, "ca"), (said.ticket, "number")):
        if number and asked in FLOWS[flow].screens:
            walk = FLOWS[flow](conversation, Place(flow, asked), facts, said)
            reader = walk.screens[asked].reader
            value = reader(said, walk) if reader else number
            if isinstance(value, Bad):
                return _again(walk, value)
    return turn


# --- arriving -----------------------------------------------------------------------------------------------------------


def _enter(conversation: Conversation, place: Place, facts: Facts, said: Said) -> Turn:
    """Go to a place and show what stands there."""
    return _arrive(FLOWS[place.flow](conversation, place, facts, said))


def _arrive(walk: Flow, came_from: str = "") -> Turn:
    """Follow decisions and jumps until a screen with words, and show it."""
    if came_from and walk.conversation.tries:
        walk.conversation = replace(walk.conversation, tries=0)
    while True:
        screen = walk.screens[walk.state]
        if screen.kind == "decide":
            walk.take("enter")
        elif screen.kind == "goto":
            walk = _leave(walk, screen.to)
            came_from = ""
        elif screen.kind == "keyword":
            walk = _leave(walk, ".".join(INTENTS[walk.answers[screen.field]]))
            came_from = ""
        elif screen.kind == "resume":
            walk = _return(walk)
            came_from = ""
        else:
            break
    walk.arrived()
    if walk.facts.noted and walk.is_private() and _is_only_noted(walk):
        return _ask_first(walk)
    if came_from:
        trail = walk.trail
        walk.trail = trail[: trail.index(walk.state)] if walk.state in trail else (*trail, came_from)
        if walk.state == came_from:
            walk.trail = trail
        if "account" not in walk.answers:  # nobody is left who could be asked about
            walk.trail = tuple(screen for screen in walk.trail if screen != "whose")
    return _show(walk)


def _is_only_noted(walk: Flow) -> bool:
    """Whether a meter reader noted this phone for the connection and nobody has said yet that it is right."""
    account = walk.answers.get("account", "")
    return account in walk.facts.noted and Confirm(account) not in walk.effects


def _ask_first(walk: Flow) -> Turn:
    """Whether the connection is theirs; where they were going is held."""
    there = Place(walk.name, walk.state, walk.answers, walk.trail)
    conversation = replace(walk.conversation, lang=walk.lang, held=there)
    asked = FLOWS["noted"](conversation, Place("noted", "ask", {"account": walk.answers["account"]}), walk.facts, walk.said)
    asked.effects = walk.effects
    return _show(asked)


def _leave(walk: Flow, to: str) -> Flow:
    """Another flow's walk, which takes along the account and what was done."""
    flow, screen = to.split(".")
    answers = {"account": walk.answers["account"]} if walk.answers.get("account") else {}
    onward = FLOWS[flow](replace(walk.conversation, lang=walk.lang), Place(flow, screen, answers), walk.facts, walk.said)
    onward.effects = walk.effects
    return onward


def _return(walk: Flow) -> Flow:
    """The walk at the held place, or at home."""
    conversation = replace(walk.conversation, lang=walk.lang, held=None)
    place = walk.conversation.held or (ROUND if walk.facts.reader else HOME)
    back = FLOWS[place.flow](conversation, place, walk.facts, walk.said)
    back.effects = walk.effects
    return back


def _show(walk: Flow, top: tuple[str, ...] = ()) -> Turn:
    """The current screen as a text to be said, and the conversation as it stands now."""
    screen = walk.screens[walk.state]
    options = walk.options()
    if walk.said.aadhaar:
        top = ("aadhaar", *top)
    top += walk.marks()
    text = Text(
        flow=walk.name,
        screen=walk.state,
        args=walk.args(),
        options=options,
        top=top,
        back=screen.kind != "end" and not (walk.name == "menu" and walk.state == "home") and bool(walk.conversation.lang),
        ends=screen.kind == "end",
    )
    held = walk.conversation.held
    if text.ends:
        place, held, shown = held or Place(), None, _shown_at(held, walk)
    else:
        place = Place(walk.name, walk.state, walk.answers, walk.trail)
        shown = _names(options) if screen.items else _shown(screen.options)
    after = replace(walk.conversation, lang=walk.lang, pages=(), page=0, place=place, held=held, shown=shown)
    return Turn(after, text, tuple(walk.effects))


def _shown_at(place: Place | None, walk: Flow) -> tuple[tuple[str, str], ...]:
    """The options of a question that stays open behind an aside."""
    if place is None:
        return ()
    return _names(FLOWS[place.flow](walk.conversation, place, walk.facts, Said()).options())


@lru_cache(maxsize=1024)
def _shown(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The options that a screen always has as a conversation remembers them."""
    return tuple([(name, "") for name in names])


def _names(options: Sequence[Option]) -> tuple[tuple[str, str], ...]:
    """Options as a conversation remembers them."""
    return tuple([(option.name, option.value) for option in options])


def _own_words(place: Place) -> frozenset[str]:
    """The keywords that belong to the answer of the open question."""
    screen = FLOWS[place.flow].screens.get(place.screen)
    return screen.own if screen else frozenset()


def _takes_ahead(conversation: Conversation) -> bool:
    """Whether type-ahead may go on at the screen now shown."""
    place = conversation.place
    screen: Screen | None = FLOWS[place.flow].screens.get(place.screen)
    return screen is not None and not screen.deliberate
