"""The forecast of several cells: what they share counts once."""

import pytest

from benchmarks.planning.forecast import total_flops
from benchmarks.planning.method_flops import PARTS
from mosaic.generator_chain import SHARES
from mosaic.method import Config


def test_all_checkpoints_of_a_generator_cost_what_the_last_one_costs(tiny_cell):
    configs = [Config(generator_share=share, distil_steps=1) for share in SHARES]
    cells = [tiny_cell("mosaic", config=config) for config in configs]
    of_one_server = sum(p.flops for p in PARTS["mosaic"](cells[-1].task, configs[-1]) if not p.name)
    wanted = total_flops(cells[-1:]) + (len(SHARES) - 1) * of_one_server
    assert total_flops(cells) == pytest.approx(wanted)
    assert total_flops(reversed(cells)) == pytest.approx(wanted)
