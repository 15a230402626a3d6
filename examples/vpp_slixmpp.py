"""A virtual power plant of your own that takes part in a run: Python, slixmpp, and nothing of Gridparley.

    python run.py slovenia --outside vpp2 --admit guests.toml --out runs/mine
    python examples/vpp_slixmpp.py --run runs/mine --jid vpp2@localhost --password secret

It registers its chargers (1.x.2), bids once for each time (1.1.1, 6.1.2), passes activations on to its charging point
operators (1.2.3, 6.2.2), measures, claims the volume (1.x.5) and answers for it (1.2.6, 1.2.7). docs/wire.md has the
form of a message, docs/exchanges.md what it may say.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import ssl
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

from slixmpp import ClientXMPP
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

FORM, RECEIPTS, CLIENT = "jabber:x:data", "urn:xmpp:receipts", "jabber:client"
QUARTER, MINUTE = timedelta(minutes=15), timedelta(minutes=1)


class Vpp(ClientXMPP):
    def __init__(self, jid: str, password: str, tls: ssl.SSLContext, product: str, price: float, share: float):
        super().__init__(jid, password, ssl_context=tls)
        self.enable_direct_tls = False
        self.me, _, self.domain = jid.partition("@")
        self.product, self.price, self.share = product, price, share
        self.numbers, self.seen, self.mine, self.tasks = count(1), set(), {}, set()
        self.bids, self.promises, self.cpos = {}, {}, []
        self.register_handler(Callback("letters", MatchXPath(f"{{{CLIENT}}}message"), self.heard))
        self.add_event_handler("session_start", lambda _: self.spawn(self.course()))

    # ---- letters: a body of JSON, the ACL parameters in a form, a receipt for each

    def say(self, to, act, protocol, talk, content, answers=None, reply_by=None):
        letter = self.make_message(mto=to, mbody=json.dumps(content), mtype="chat")
        letter["id"] = f"{self.me}-{next(self.numbers)}"
        fields = {"performative": act, "protocol": protocol, "conversation-id": talk, "reply-with": letter["id"],
                  "in-reply-to": answers, "reply-by": reply_by and reply_by.isoformat(),
                  "language": "json", "ontology": "ev4eu-d5.1"}  # fmt: skip
        form = ET.SubElement(letter.xml, f"{{{FORM}}}x", type="form")
        ET.SubElement(form, f"{{{FORM}}}title").text = "spade:x:metadata"
        for name, value in fields.items():
            if value is not None:
                field = ET.SubElement(form, f"{{{FORM}}}field", var=name, type="text-single")
                ET.SubElement(field, f"{{{FORM}}}value").text = value
        ET.SubElement(letter.xml, f"{{{RECEIPTS}}}request")
        letter.send()
        return letter["id"]

    def heard(self, stanza):
        xml, sender = stanza.xml, str(stanza["from"])
        body, form = xml.findtext(f"{{{CLIENT}}}body"), xml.find(f"{{{FORM}}}x")
        if xml.find(f"{{{RECEIPTS}}}request") is not None:
            receipt = self.make_message(mto=sender, mtype="chat")
            ET.SubElement(receipt.xml, f"{{{RECEIPTS}}}received", id=stanza["id"])
            receipt.send()
        if body is None or form is None or (sender, stanza["id"]) in self.seen:
            return
        self.seen.add((sender, stanza["id"]))
        fields = {f.get("var"): f.findtext(f"{{{FORM}}}value") for f in form.iter(f"{{{FORM}}}field")}
        letter = {"from": sender, "content": json.loads(body), **fields}
        if (talk := fields["conversation-id"]) in self.mine:
            self.mine[talk].put_nowait(letter)
        else:
            self.spawn(self.answer(letter))

    def spawn(self, work):
        """Runs beside the rest; an error is said, and costs that one conversation."""
        self.tasks.add(task := asyncio.ensure_future(work))
        task.add_done_callback(lambda task: self.tasks.discard(task) or (task.exception() and task.print_stack()))

    def reply(self, letter, act, content, reply_by=None):
        content = {"exchange": None, **content}
        talk, protocol = letter["conversation-id"], letter["protocol"]
        self.say(letter["from"], act, protocol, talk, content, letter["reply-with"], reply_by)

    def ask(self, to, act, protocol, content, reply_by=None):
        """Opens a conversation; its answers come into the queue that is returned."""
        talk = f"{self.me}-talk-{next(self.numbers)}"
        self.mine[talk] = queue = asyncio.Queue()
        queue.opening = talk, self.say(to, act, protocol, talk, content, reply_by=reply_by)
        return queue

    # ---- time: the run's own, which nobody here may guess

    async def clock(self):
        query = {"exchange": "env.clock"}
        answer = await self.ask(f"environment@{self.domain}", "query-ref", "fipa-query", query).get()
        return datetime.fromisoformat(answer["content"]["now"]), answer["content"]["speed"]

    async def now(self):
        return (await self.clock())[0]

    async def sleep_until(self, at):
        now, speed = await self.clock()
        while now < at:
            await asyncio.sleep(max(0.02, (at - now).total_seconds() / (speed or 3600.0)))
            now, speed = await self.clock()

    # ---- the course of the day

    async def course(self):
        self.send_presence()
        directory = f"directory@{self.domain}"
        entry = {"exchange": "df.register", "jid": self.boundjid.bare, "role": "vpp",
                 "services": ["congestion-management"], "location": None}  # fmt: skip
        answer = None
        while answer is None:  # the directory may not be there yet
            queue = self.ask(directory, "request", "fipa-request", entry)
            with suppress(TimeoutError):
                answer = await asyncio.wait_for(queue.get(), 3.0)
        print("registers:", answer["performative"], answer["content"], flush=True)
        await self.sleep_until(await self.now() + 10 * MINUTE)  # the DSO publishes its product first
        search = {"exchange": "df.search", "service": f"flexibility:{self.me}"}
        found = (await self.ask(directory, "query-ref", "fipa-query", search).get())["content"]["entries"]
        self.cpos = [each["jid"] for each in found]
        for cpo, report in (await self.reports()).items():
            for bus in sorted({charger["location"] for charger in report["chargers"]}):
                here = [c for c in report["chargers"] if c["location"] == bus]
                resource = {"exchange": "1.x.2", "resource_id": f"{cpo}/{bus}", "product_id": self.product, "cpo": cpo,
                            "location": bus, "charger_ids": [c["charger_id"] for c in here],
                            "max_charge_kw": sum(c["max_charge_kw"] for c in here),
                            "max_discharge_kw": sum(c["max_discharge_kw"] for c in here),
                            "energy_kwh": sum(c["capacity_kwh"] or 0.0 for c in here)}  # fmt: skip
                due = await self.now() + 30 * MINUTE
                answer = await self.ask(f"fmo@{self.domain}", "request", "fipa-request", resource, due).get()
                print(bus, answer["performative"], answer["content"], flush=True)

    async def reports(self, kind="status"):
        """1.2.1 to each operator, and its answer 1.2.2."""
        now, found = await self.now(), {}
        for cpo in self.cpos:
            query = {"exchange": "1.2.1", "request_id": f"{self.me}-data-{next(self.numbers)}", "data_type": kind,
                     "timestamp": now.isoformat()}  # fmt: skip
            answer = await self.ask(cpo, "query-ref", "fipa-query", query, now + 2 * MINUTE).get()
            if answer["performative"] == "inform":
                found[cpo] = answer["content"]
        return found

    # ---- what others ask

    async def answer(self, letter):
        content, act = letter["content"], letter["performative"]
        match act, content.get("exchange"):
            case "cfp", "1.x.7" | "6.1.1":
                await self.bid(letter, content)
            case "accept-proposal", _:
                bid = self.bids[content["bid_id"]]
                bid["power_kw"] = content.get("cleared_power_kw", content.get("power_kw"))
                self.reply(letter, "inform", {"reference": content["bid_id"]})
                print("awarded", content, flush=True)
            case "reject-proposal", _:
                self.bids.pop(content.get("bid_id"), None)
            case "request", "1.2.3" | "6.2.1":
                await self.activate(letter, content)
            case "cancel", _:
                await self.call_off(letter)
            case "query-ref", "1.2.6":
                await self.tell_measured(letter, content)
            case "request", "1.2.7":
                self.pay(letter, content)
            case _ if act in ("request", "query-ref", "cfp", "subscribe"):
                self.reply(letter, "refuse", {"code": "not-here", "reason": f"no answer to {content.get('exchange')}"})

    async def bid(self, letter, call):
        """A share of what the operators plan to draw, below what is needed; once for each time."""
        start, end = (datetime.fromisoformat(call[name]) for name in ("start", "end"))
        if any(bid["start"] < end and start < bid["end"] for bid in self.bids.values()):
            return self.reply(letter, "refuse", {"code": "sold", "reason": "I have bid for this time already"})
        bid_id = f"{self.me}-bid-{next(self.numbers)}"
        bid = self.bids[bid_id] = {"start": start, "end": end, "power_kw": 0.0}
        baseline = [0.0] * ((end - start) // QUARTER)
        for report in (await self.reports()).values():
            first = (start - datetime.fromisoformat(report["plan_start"])) // QUARTER
            baseline = [kw + plan for kw, plan in zip(baseline, report["planned_kw"][first:], strict=False)]
        power = math.floor(min(call["power_needed_kw"], self.share * min(baseline, default=0.0)) * 10) / 10
        if power < 1.0 or self.price > float(call["max_price_eur_per_kw"]):
            del self.bids[bid_id]
            return self.reply(letter, "refuse", {"code": "no-offer", "reason": f"{power} kW at {self.price} EUR"})
        bid |= {"power_kw": power, "baseline_kw": [round(kw, 3) for kw in baseline], "service": call["service"]}
        offer = {"bid_id": bid_id, "timestamp": (await self.now()).isoformat(), "power_kw": power,
                 "price_eur_per_kw": f"{self.price:.2f}", "baseline_kw": bid["baseline_kw"]}  # fmt: skip
        if call["exchange"] == "6.1.1":
            offer |= {"exchange": "6.1.2", "pool_id": call["pool_id"]}
        else:
            offer |= {"exchange": "1.1.1", "market_id": call["market_id"], "location": call["congestion_point"],
                      "start": call["start"], "end": call["end"], "min_power_kw": 0.0}  # fmt: skip
        print("bids", offer, flush=True)
        return self.reply(letter, "propose", offer, reply_by=start)

    async def activate(self, letter, order):
        """To each operator its part: the most that its chargers may draw, and what that leaves out."""
        pool, bid = order["exchange"] == "6.2.1", self.bids.get(order["bid_id"])
        told = {"exchange": "6.2.5" if pool else "1.2.4", "activation_id": order["activation_id"]}
        if bid is None or "activation_id" in bid or order["power_kw"] > bid["power_kw"] + 1e-6:
            no = {"available_power_kw": 0.0, "reason": "not awarded, or activated already"}
            return self.reply(letter, "refuse", told | no | ({"accepted": False} if pool else {}))
        bid |= {"activation_id": order["activation_id"], "power_kw": order["power_kw"], "agreed": []}
        self.promises[order["activation_id"]], self.promises[letter["conversation-id"]] = bid, bid
        reports = await self.reports()
        plans = {cpo: max(0.1, sum(c["max_charge_kw"] for c in r["chargers"])) for cpo, r in reports.items()}
        available = 0.0
        for cpo, kw in plans.items():
            part = kw / sum(plans.values())
            mine = {name: order[name] for name in order if name not in ("ceiling_kw", "discharge_limits")}
            mine |= {"exchange": "6.2.2" if pool else "1.2.3", "power_kw": round(part * order["power_kw"], 3),
                     "ceiling_kw": [round(part * (b - order["power_kw"]), 3) for b in bid["baseline_kw"]]}  # fmt: skip
            due = min(bid["start"], datetime.fromisoformat(letter["reply-by"]) - MINUTE)
            queue = self.ask(cpo, "request", "fipa-request", mine, due)
            answer = await queue.get()
            if answer["performative"] == "agree":
                available += answer["content"]["available_power_kw"]
                bid["agreed"].append((cpo, queue))
        if not bid["agreed"]:
            no = {"available_power_kw": 0.0, "reason": "no driver takes part"}
            return self.reply(letter, "refuse", told | no | ({"accepted": False} if pool else {}))
        told["available_power_kw"] = round(min(available, order["power_kw"]), 1)
        self.reply(letter, "agree", told | ({"accepted": True} if pool else {}))
        print("activated", told, flush=True)
        return await self.deliver(letter, bid)

    async def deliver(self, letter, bid):
        """Reads the registers at each quarter until it is over, says so, and claims the volume."""
        readings = []  # time and kWh of all chargers together
        for k in range((bid["end"] - bid["start"]) // QUARTER + 1):
            await self.sleep_until(bid["start"] + k * QUARTER)
            reports = list((await self.reports("measurements")).values())
            energy = sum(c["meter_kwh"] or 0.0 for report in reports for c in report["chargers"])
            readings.append((max(datetime.fromisoformat(report["timestamp"]) for report in reports), energy))
        bid["measured_kw"] = [round((b[1] - a[1]) / ((b[0] - a[0]).total_seconds() / 3600), 3)
                              for a, b in pairwise(readings)]  # fmt: skip
        if "called_off" in bid:
            return
        for _, queue in bid["agreed"]:
            await queue.get()  # done, or it failed
        self.reply(letter, "inform", {"reference": bid["activation_id"]})
        await self.sleep_until(bid["end"] + 5 * MINUTE)
        power, pairs = bid["power_kw"], zip(bid["baseline_kw"], bid["measured_kw"], strict=True)
        delivered = [round(max(0.0, min(power, b - m)), 3) for b, m in pairs]
        volume = {"exchange": "1.x.5", "activation_id": bid["activation_id"], "baseline_kw": bid["baseline_kw"],
                  "measured_kw": bid["measured_kw"], "delivered_kw": delivered,
                  "delivered_energy_kwh": round(sum(delivered) / 4, 6)}  # fmt: skip
        dso, due = letter["from"].partition("/")[0], await self.now() + 5 * MINUTE
        answer = await self.ask(dso, "propose", "fipa-propose", volume, due).get()
        print("volume", answer["performative"], delivered, answer["content"].get("reason"), flush=True)

    async def call_off(self, letter):
        bid = self.promises[letter["conversation-id"]]
        bid["called_off"] = True
        for cpo, queue in bid["agreed"]:
            talk, opening = queue.opening
            end = {"exchange": None, "reference": bid["activation_id"], "reason": "the service is no longer needed"}
            self.say(cpo, "cancel", "fipa-request", talk, end, opening)
        self.reply(letter, "inform", {"reference": bid["activation_id"]})

    async def tell_measured(self, letter, query):
        bid = self.promises.get(query["activation_id"], {})
        if "measured_kw" not in bid:
            return self.reply(letter, "refuse", {"code": "no-measurements", "reason": "nothing was measured for it"})
        told = {name: query[name] for name in ("exchange", "activation_id", "start", "end")}
        told |= {"service": bid["service"], "period_minutes": 15, "power_kw": bid["measured_kw"]}
        return self.reply(letter, "inform", told | {"baseline_kw": bid["baseline_kw"]})

    def pay(self, letter, bill):
        if bill["payee"] != self.boundjid.bare:
            return self.reply(letter, "refuse", {"code": "not-mine", "reason": f"{bill['payee']} is not me"})
        print("billed", bill["amount_eur"], flush=True)
        paid = {"exchange": "1.2.7", "bill_id": bill["bill_id"], "transaction_id": bill["bill_id"]}
        return self.reply(letter, "inform", paid | {"amount_eur": bill["amount_eur"]})


def main():
    parser = argparse.ArgumentParser(description="A virtual power plant from outside.")
    parser.add_argument("--run", type=Path, required=True, help="the run's folder, which says where the server is")
    parser.add_argument("--jid", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--product", default="krsko-mv-lv-congestion", help="the DSO's product, by its id")
    parser.add_argument("--price", type=float, default=0.05, help="EUR per kW and quarter of an hour")
    parser.add_argument("--share", type=float, default=0.5, help="how much of its plan it offers to leave out")
    options = parser.parse_args()
    server = json.loads((options.run / "server" / "access.json").read_text(encoding="utf-8"))
    tls = ssl.create_default_context(cafile=server["ca"])

    async def play():
        vpp = Vpp(options.jid, options.password, tls, options.product, options.price, options.share)
        vpp.connect(server["host"], server["port"])
        await vpp.disconnected

    asyncio.run(play())


if __name__ == "__main__":
    main()
