from __future__ import annotations

from bench.peers.comparison import PeerFigures, table


def test_each_figure_has_its_peers_below_one_another_with_their_medians() -> None:
    ours = PeerFigures(mouth_to_model_ms=[1.0, 2.0, 9.0], memory_alone_mb=[150.0])
    theirs = PeerFigures(mouth_to_model_ms=[80.0, 82.5, 90.0])
    lines = table({"Parley": ours, "Peer 1.2.3": theirs})
    assert [line.split(":")[0] for line in lines[::2]] == [
        "mouth to model",
        "model to ear",
        "barge-in",
        "cores per call, 6 silent",
        "audio at the model meanwhile",
        "cores per call, 6 speaking",
        "memory alone",
        "memory per call, 6",
    ]
    assert lines[0].split()[3:] == ["Parley", "3", "1.00", "2.00", "9.00", "9.00", "ms"]
    assert lines[1].split()[4:] == ["1.2.3", "3", "80.00", "82.50", "90.00", "90.00", "ms"]
    assert lines[12].split()[-2:] == ["150.0", "MB"]
    assert lines[13].startswith("memory alone: Peer 1.2.3")
    assert lines[13].endswith("nothing measured")
