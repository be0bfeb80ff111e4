"""say(text, lang, limits) -> Reply: the only door from a text's key to what stands on a phone."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from msgspec import Struct

from flows.records import Channel, Text, replace
from flows.screens import number_of
from messages.catalogue import PLAIN, Catalogue, catalogues
from messages.encoding import ALONE, EACH, Encoding, measure, sms_parts
from messages.fit import pages

#: A phone that has not chosen yet may not show Devanagari: older handsets show boxes (text.md section 2).
DEFAULT_LANGUAGE = "hi-Latn"


class Limits(Struct, frozen=True):
    """What fits on a channel.

    USSD: one page holds `septets` of GSM-7 or `units` of UCS-2, `overhead` of them taken by the carrier's own prefix.
    SMS: a text may take `parts` parts (160/153 septets, 70/67 units: 3GPP TS 23.040). Without `devanagari` a
    Hindi text is said romanised, and what mixes scripts in its plain form.
    """

    channel: Channel = "ussd"
    septets: int = 160
    units: int = 80
    overhead: int = 0
    parts: int = 2
    devanagari: bool = True

    def fits(self, page: str) -> bool:
        """Whether a finished page, or a whole SMS, fits."""
        if self.channel != "ussd":
            size = measure(page)
            most = EACH[size.encoding] * self.parts if self.parts > 1 else ALONE[size.encoding]
            return size.units <= most and sms_parts(page) <= self.parts
        size = measure(page)
        return size.units + self.overhead <= (self.septets if size.encoding == "gsm7" else self.units)


class Reply(Struct, frozen=True):
    """A text as the phone will show it: all its pages, of which the first is shown now.

    `ends` says that nothing is asked after the last page. `units` counts septets or UCS-2 units of the first page, as the
    network does, without the carrier's prefix; `parts` SMS parts. `template` is the text's key and language, `flow.screen/lang`.
    """

    pages: tuple[str, ...]
    ends: bool
    encoding: Encoding
    units: int
    parts: int
    template: str


class Voice:
    """Says texts in every language. `house` are the constants that texts name (Settings.house), such as the company."""

    def __init__(self, house: Mapping[str, str]) -> None:
        self.catalogues = catalogues(tuple(house.items()))
        self._said: dict[tuple[object, ...], Reply] = {}

    def say(self, text: Text, lang: str, limits: Limits) -> Reply:
        """A text in a language, cut to fit. Raises MissingText, which is our own bug."""
        lang = lang or DEFAULT_LANGUAGE
        if limits.channel == "ussd" and not limits.devanagari:
            lang = DEFAULT_LANGUAGE if lang == "hi" else lang
            if (PLAIN, text.screen) in self.catalogues[lang].screens:
                text = replace(text, flow=PLAIN)
        if text.args:
            return self._say(text, lang, limits)
        names = []
        for option in text.options:
            if option.args:
                return self._say(text, lang, limits)
            names.append(option.name)
        # A text without values is one of a few hundred: it is cut once.
        key = (text.flow, text.screen, *names, text.top, text.back, text.ends, lang, limits)
        reply = self._said.get(key)
        if reply is None:
            reply = self._said[key] = self._say(text, lang, limits)
        return reply

    def _say(self, text: Text, lang: str, limits: Limits) -> Reply:
        catalogue = self.catalogues[lang]
        sms = limits.channel != "ussd"
        body = _nfc(
            "\n".join(
                [
                    *(catalogue.render(catalogue.line(line), text.args) for line in text.top),
                    catalogue.render(catalogue.text(text.flow, text.screen, sms=sms), text.args),
                ]
            )
        )
        options = [
            _nfc(f"{number_of(index)} {catalogue.render(catalogue.label(text.flow, text.screen, option.name), option.args)}")
            for index, option in enumerate(text.options)
        ]
        back, more = (catalogue.render(catalogue.line(line), {}) for line in ("back", "more"))
        fits = self._limits(text, limits, catalogue).fits
        made = pages(body, options, back, more, fits, leads_back=text.back and not sms)
        size = measure(made[0])
        return Reply(
            pages=made,
            ends=text.ends,
            encoding=size.encoding,
            units=size.units,
            parts=sms_parts(made[0]) if sms else 1,
            template=f"{text.flow}.{text.screen}/{lang}",
        )

    def _limits(self, text: Text, limits: Limits, catalogue: Catalogue) -> Limits:
        """The limits, with the parts that this one text is allowed (the help in Hindi takes three)."""
        allowed = catalogue.parts(text.flow, text.screen)
        if limits.channel == "ussd" or allowed <= limits.parts:
            return limits
        return Limits(limits.channel, limits.septets, limits.units, limits.overhead, allowed, limits.devanagari)


def _nfc(text: str) -> str:
    """The composed form, which is what is counted and sent: it lengthens Hindi, so it comes before fitting."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
