"""How ACL messages look on the wire, with a stanza of each act: `python -m behaviours.wire_page > docs/wire.md`.

The stanzas are made by the code that sends them (`behaviours.stanzas`), from contents that the catalogue lets pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from xml.sax.saxutils import quoteattr

from behaviours import stanzas
from behaviours.delivery import FOREIGN_ATTEMPTS
from behaviours.ports import Letter
from protocols import exchanges as x
from protocols.acl import MAX_BODY_CHARACTERS, MAX_DEPTH, MAX_ID_CHARACTERS, AclMessage, Performative, Protocol
from protocols.dialogues import EXCHANGES
from protocols.roles import Role
from protocols.tables import OPENING

VPP, DSO, CPO, FMO, TSO = (f"{name}@localhost" for name in ("vpp2", "dso", "cpo1", "fmo", "tso"))
DIRECTORY = "directory@localhost"
_PREFIX = "5c1f08e2a7d1"
_LINES = (
    ("<body>", 1),
    ("<thread>", 1),
    ("<x ", 1),
    ("<title>", 2),
    ("<field ", 2),
    ("</x>", 1),
    ("<request ", 1),
    ("</message>", 0),
)
"""What begins a line, and how far it is set in."""
_NOON = datetime(2026, 3, 18, 12, tzinfo=timezone(timedelta(hours=1)))
_START, _END = _NOON + timedelta(hours=5), _NOON + timedelta(hours=5, minutes=30)
_CONGESTION = x.ServiceType.CONGESTION_MANAGEMENT

_HEAD = f"""# ACL messages on the wire

Made from the code by `python -m behaviours.wire_page > docs/wire.md`. With this page, `docs/protocols.md`,
`docs/exchanges.md` and the files of `python run.py schema --out DIR` (AsyncAPI for each role, JSON Schema for each
content) an agent can be written in any language that has an XMPP library.

## A message is a stanza

A FIPA ACL message (SC00061G) is an XMPP message of type `chat` between two JIDs, in the form that SPADE gives it:

- the **body** is the content as a JSON object: UTF-8, at most {MAX_BODY_CHARACTERS:,} characters, nested at most
  {MAX_DEPTH} deep. Its `exchange` is the id of D5.1, or null for a plain act such as a refusal. There is always a body.
- the **ACL parameters** stand in a data form (XEP-0004) with the title `{stanzas.METADATA_TITLE}`, a field each;
- **thread** is the conversation id once more, for chat programs; in the form it is `{stanzas.THREAD_FIELD}`.

| parameter | |
|---|---|
| `performative` | the act, one of the thirteen below |
| `protocol` | {", ".join(f"`{protocol}`" for protocol in Protocol)} |
| `conversation-id` | chosen by whoever opens the conversation, the same in every message of it |
| `reply-with` | this message's own id; no other message of its sender may have it |
| `in-reply-to` | the `reply-with` of what it answers; only an opening act has none |
| `reply-by` | until when an answer counts, exactly then included: RFC 3339 with an offset, in scenario time |
| `language`, `ontology` | `json`, `ev4eu-d5.1` |

Ids are printable and have at most {MAX_ID_CHARACTERS} characters. Sender and receiver are the stanza's `from`, which
the server stamps, and `to`; the resource does not matter, except that an answer goes to the resource that asked.

## What holds everywhere

- **Receipts.** Each letter has a stanza `id` and asks for a receipt (XEP-0184). Whoever has once sent one is taken to
  acknowledge: a letter to him is repeated under the same id until a receipt comes, {FOREIGN_ATTEMPTS} times at most,
  and the next letter waits for it. Who never acknowledges gets each letter once. So acknowledge each one, and act
  once on those that come twice (same sender, same id).
- **Acts are remembered** by `reply-with`: the same one again gets the same answer and is not performed twice.
- **The directory decides who may say what.** Register first (`df.register`), in the role that you were admitted in;
  an act that the role may not say is refused. Others are found by `df.search`.
- **Whatever cannot be read is answered** with `not-understood` and every fault; what may not be said, or says what
  cannot be in the light of what was said before, with `refuse` or `failure` and the reason. A `not-understood` is
  never answered.
- **Numbers** have their unit in their name. Power that is drawn from the grid is positive. Prices and amounts are
  decimal strings.

## The acts
"""


@dataclass(frozen=True, slots=True)
class Example:
    """One act, and what it is about."""

    text: str
    message: AclMessage


def examples() -> tuple[Example, ...]:
    """An example of each act: what a virtual power plant says and hears."""
    return tuple(_examples())


def _examples() -> Iterator[Example]:
    cfp = _opening(
        Protocol.CONTRACT_NET,
        DSO,
        VPP,
        "dso-31",
        x.PoolOpening(
            pool_id="pool-31",
            service=_CONGESTION,
            congestion_point="krsko-mv-lv",
            timestamp=_NOON,
            start=_START,
            end=_END,
            max_price_eur_per_kw=Decimal("0.50"),
            power_needed_kw=20.0,
        ),
        reply_by=_NOON + timedelta(minutes=10),
    )
    yield Example("The DSO informs the pool: who can offer how much, at which price?", cfp)
    bid = x.PoolBid(
        pool_id="pool-31",
        bid_id="vpp2-bid-7",
        timestamp=_NOON,
        price_eur_per_kw=Decimal("0.45"),
        power_kw=15.0,
        baseline_kw=(30.0, 28.5),
    )
    proposal = _answer(cfp, Performative.PROPOSE, "vpp2/1", bid, reply_by=_NOON + timedelta(minutes=15))
    yield Example("The bid. It says until when it may be accepted.", proposal)
    award = x.PoolAward(
        pool_id="pool-31", bid_id="vpp2-bid-7", price_eur_per_kw=Decimal("0.45"), power_kw=15.0, reason=None
    )
    yield Example(
        "The award, which is the contract.",
        _answer(proposal, Performative.ACCEPT_PROPOSAL, "dso/2", award, reply_by=_END),
    )
    lost = replace_content(award, power_kw=0.0, reason="others were cheaper")
    yield Example("Or: others were cheaper.", _answer(proposal, Performative.REJECT_PROPOSAL, "dso/2", lost))
    order = x.ActivationSignal(
        activation_id="dso-a1",
        bid_id="vpp2-bid-7",
        service=_CONGESTION,
        congestion_point="krsko-mv-lv",
        start=_START,
        end=_END,
        power_kw=15.0,
    )
    request = _opening(Protocol.REQUEST, DSO, VPP, "dso-40", order, reply_by=_START - timedelta(minutes=5))
    yield Example("The DSO activates what it has bought.", request)
    agreed = x.ActivationConfirmation(activation_id="dso-a1", available_power_kw=15.0)
    yield Example("The VPP will.", _answer(request, Performative.AGREE, "vpp2/1", agreed))
    short = x.ActivationConfirmation(
        activation_id="dso-a1", available_power_kw=4.0, reason="two cars have left before their time"
    )
    yield Example("Or it will not, and says what it could.", _answer(request, Performative.REFUSE, "vpp2/1", short))
    done = _answer(request, Performative.INFORM, "vpp2/2", x.Done(reference="dso-a1"))
    yield Example("When it is over: done.", done)
    broken = x.Reason(code="chargers-lost", reason="the chargers at bus 7 do not answer")
    yield Example("Or: it did not work out.", _answer(request, Performative.FAILURE, "vpp2/2", broken))
    stop = _following(request, Performative.CANCEL, "dso/2", x.Cancellation(reference="dso-a1", reason="no overload"))
    yield Example("The DSO calls it off. The answer is an inform (stopped) or a failure (it goes on).", stop)
    query = _opening(
        Protocol.QUERY,
        VPP,
        CPO,
        "vpp2-12",
        x.DataRequest(request_id="vpp2-r12", data_type=x.DataType.MEASUREMENTS, timestamp=_NOON),
        reply_by=_NOON + timedelta(minutes=1),
    )
    yield Example("The VPP asks the CPO what its chargers do; an inform answers it.", query)
    yield Example(
        "The TSO wants to be told of activations from now on; agreed first, then an inform each time.",
        _opening(
            Protocol.SUBSCRIBE,
            TSO,
            DSO,
            "tso-3",
            x.ActivatedResourcesSubscription(congestion_point=None),
            reply_by=_NOON + timedelta(minutes=1),
        ),
    )
    fault = x.Reason(
        code="malformed", reason="the content cannot be read", faults=("power_kw: Input should be a valid number",)
    )
    yield Example("What could not be read.", _answer(request, Performative.NOT_UNDERSTOOD, "vpp2/1", fault))
    yield Example(
        "The first message of an agent: it registers with the directory, which informs it that this is done.",
        _opening(
            Protocol.REQUEST,
            VPP,
            DIRECTORY,
            "vpp2-1",
            x.Registration(jid=VPP, role=Role.VPP, services=("congestion-management",), location=None),
            reply_by=_NOON + timedelta(hours=1),
        ),
    )


def replace_content(content: x.PoolAward, **changes: object) -> x.PoolAward:
    """The same content with other members, checked anew."""
    return x.PoolAward.from_json(content.to_json() | changes)


def _opening(
    protocol: Protocol, sender: str, receiver: str, conversation: str, content: x.Content, *, reply_by: datetime
) -> AclMessage:
    return AclMessage(
        performative=OPENING[protocol],
        sender=sender,
        receiver=receiver,
        protocol=protocol,
        conversation_id=conversation,
        reply_with=f"{conversation}/{sender.partition('@')[0]}/1",
        content=content.to_json(),
        reply_by=reply_by,
    )


def _answer(
    asked: AclMessage, act: Performative, number: str, content: x.Content, *, reply_by: datetime | None = None
) -> AclMessage:
    return AclMessage(
        performative=act,
        sender=asked.receiver,
        receiver=asked.sender,
        protocol=asked.protocol,
        conversation_id=asked.conversation_id,
        reply_with=f"{asked.conversation_id}/{number}",
        content=content.to_json(),
        in_reply_to=asked.reply_with,
        reply_by=reply_by,
    )


def _following(opening: AclMessage, act: Performative, number: str, content: x.Content) -> AclMessage:
    """What the initiator says after its opening."""
    back = _answer(opening, act, number, content)
    return replace(back, sender=opening.sender, receiver=opening.receiver)


def page() -> str:
    """The whole of docs/wire.md."""
    return "\n".join([_HEAD, *(line for example in examples() for line in _section(example)), _TAIL])


def _section(example: Example) -> Iterator[str]:
    message = example.message
    about = EXCHANGES.get(message.exchange or "")
    name = f", {about.id} {about.name} ({about.source})" if about else ""
    yield f"### `{message.performative}`{name}\n"
    yield f"{example.text}\n"
    yield f"```xml\n{stanza(message)}\n```\n"


def stanza(message: AclMessage) -> str:
    """The stanza as its receiver gets it, with a line for each element."""
    letter = Letter(message.sender, message.receiver, message.body(), message.metadata(), message.conversation_id)
    text = stanzas.to_xml(letter, message.receiver, f"{_PREFIX}-{sum(map(ord, message.reply_with))}")
    text = text.replace("<message ", f"<message from={quoteattr(f'{message.sender}/home')} ", 1)
    for element, depth in _LINES:
        text = text.replace(element, f"\n{'  ' * depth}{element}")
    return text


_TAIL = f"""## A receipt

```xml
{stanzas.receipt_xml("dso@localhost/home", f"{_PREFIX}-17")}
```
"""


if __name__ == "__main__":
    print(page(), end="")
