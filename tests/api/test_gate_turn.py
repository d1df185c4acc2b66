"""Who is refused in the same turn of the event loop as another is not judged once more."""

from __future__ import annotations

import json
from pathlib import Path

from tests.api.test_admission import LIMITS, fill
from tests.api.test_gate import ROUTE, gate_of, now, parts_of, refusals, scope_of
from tests.api.world import serving


async def test_who_is_refused_in_the_turn_of_another_gets_an_answer_of_its_own(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, **LIMITS) as world:
        accepted = await fill(world)
        gate = gate_of(world)
        answers = [gate.refusal(scope_of(), now) for _ in range(3)]
        other = gate.refusal(scope_of(query="timeout_ms=50"), now)
        named = gate.refusal(scope_of(x_request_id='"mine"'), now)
        assert other is not None
        assert named is not None
        named_document = json.loads(parts_of(named)[1])
        assert named_document["request_id"] == '"mine"'
        ids = set()
        for answer in answers:
            assert answer is not None
            pairs, body = parts_of(answer)
            document, headers = json.loads(body), dict(pairs)
            ids.add(document["request_id"])
            assert headers[b"x-request-id"] == document["request_id"].encode()
            assert headers[b"content-length"] == str(len(body)).encode()
            assert document | {"request_id": ""} == named_document | {"request_id": ""}
        assert len(ids) == len(answers)
        assert refusals(world) == 5
        assert world.count("requests_total", route=ROUTE, method="POST", code="429") == 5
        assert world.count("in_flight_requests") == len(accepted)
        world.puppet.let_go()
        for task in accepted:
            assert (await task).status_code == 200
        assert gate.refusal(scope_of(), now) is None, "there is room again"
