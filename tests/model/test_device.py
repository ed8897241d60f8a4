"""The way of a GPU: as far as a CPU can go it, and on a GPU where there is one."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.contract import Film, Prediction, Predictor
from model.device import BUCKETS, DeviceReader, Way, at_precision, ways_on
from model.folding import folded
from model.network import Heads, LocalizationUNet
from model.predictor import NetworkPredictor, load_predictor
from model.reading import Looks, Seen, inputs, look
from tests.model.test_folding import trained
from tests.model.test_invariance import AT_THE_POINT, best_matches, chosen
from training.dataset import open_film

CPU = torch.device("cpu")
EXACT, HALF = Way(torch.float32, captured=False), Way(torch.float16, captured=False)
LOOKS = Looks(sizes=(64, 96), mirror=True, box_scale=0.9, quality_power=0.5, same=0.5, suppress=0.35, least=0.01)
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def network() -> LocalizationUNet:
    """With two instance channels."""
    return folded(trained())


def some_films(count: int) -> list[Film]:
    rng = np.random.default_rng(count)
    films = [Film(pixels=rng.integers(0, 65536, (70 + 9 * n, 90), dtype=np.uint16)) for n in range(count)]
    valid = np.ones(films[0].pixels.shape, bool)
    valid[:20] = False
    return [Film(pixels=films[0].pixels, valid=valid), *films[1:]]


def by_host(network: LocalizationUNet, films: Sequence[Film], looks: Looks = LOOKS) -> Seen:
    return look(network, inputs(films, looks.sizes), looks)


def assert_same(said: Seen, wanted: Seen, tolerance: float = 1e-4) -> None:
    """Of the boxes the scores, in their order: of two that are alike in score either may be first.

    The last few of a look may differ: where two cells are alike in heat, either may be the maximum of its neighbours.
    """
    for name in ("mask", "image", "pooled"):
        torch.testing.assert_close(getattr(said, name), getattr(wanted, name), atol=tolerance, rtol=tolerance)
    assert said.boxes.shape == wanted.boxes.shape
    differs = (said.boxes[..., 4] - wanted.boxes[..., 4]).abs() > tolerance
    assert differs.float().mean() < 0.005


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_a_bucket_with_room_to_spare_changes_nothing(network: LocalizationUNet, count: int) -> None:
    """After a fuller one, too: what it left behind is looked at, and not told."""
    reader, films = DeviceReader(network, LOOKS, CPU), some_films(count)
    reader.seen(some_films(8))
    assert_same(reader.seen(films), by_host(network, films))
    assert len(reader(films)) == count


def test_one_look_of_one_size_will_do(network: LocalizationUNet) -> None:
    looks = Looks(**{**vars(LOOKS), "sizes": (64,), "mirror": False})
    films = some_films(3)
    assert_same(DeviceReader(network, looks, CPU).seen(films), by_host(network, films, looks))


def test_threads_do_not_mix_their_films(network: LocalizationUNet) -> None:
    reader = DeviceReader(network, LOOKS, CPU)
    batches = [some_films(count) for count in (1, 4, 2, 3, 1, 2)]
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(reader.seen, batches))
    for films, seen in zip(batches, said, strict=True):
        assert_same(seen, by_host(network, films))


def test_a_mirrored_look_is_one_at_the_film(network: LocalizationUNet) -> None:
    """The mean of a look and its mirror image is the mirror image of that of the mirrored film."""
    looks = Looks(**{**vars(LOOKS), "sizes": (96,)})
    picture = torch.randn(2, 1, 96, 96, generator=torch.Generator().manual_seed(0))
    plain, mirrored = look(network, [picture], looks), look(network, [picture.flip(3)], looks)
    torch.testing.assert_close(mirrored.mask.flip(2), plain.mask, atol=1e-4, rtol=0)
    x0, y0, x1, y1, score = plain.boxes.unbind(4)
    turned = torch.stack([1 - x1, y0, 1 - x0, y1, score], 4)
    # what the first look at a film sees, the second look at its mirror image sees
    torch.testing.assert_close(mirrored.boxes.flip(1)[..., 4], turned[..., 4], atol=1e-4, rtol=0)
    sure = turned[..., 4] > LOOKS.least
    torch.testing.assert_close(mirrored.boxes.flip(1)[sure], turned[sure], atol=1e-3, rtol=0)


def test_half_precision_holds_everything_but_the_heads(network: LocalizationUNet) -> None:
    half = at_precision(network, torch.float16, CPU)
    assert half.neck.conv.weight.dtype == half.encoder.stem[1].weight.dtype == torch.float16
    assert {part.weight.dtype for part in (half.mask, half.heat, half.quality, half.distances, half.image)} == {
        torch.float32
    }
    assert network.neck.conv.weight.dtype == torch.float32
    with torch.inference_mode():
        heads = half(torch.randn(1, 1, 64, 64).half())
    assert {part.dtype for name, part in heads._asdict().items() if name != "pooled"} == {torch.float32}


class Failing(DeviceReader):
    """A device on which some ways do not work."""

    def __init__(self, *arguments: object, broken: Sequence[Way]) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.broken, self.tried = broken, list[Way]()

    def _look(self, flat: Tensor, bucket: int) -> Tensor:
        self.tried.append(self.way)
        if self.way in self.broken:
            raise RuntimeError("no kernel for it")
        return super()._look(flat, bucket)


def test_what_does_not_work_is_left_for_the_next_way(
    network: LocalizationUNet, caplog: pytest.LogCaptureFixture
) -> None:
    reader = Failing(network, LOOKS, CPU, [HALF, EXACT], broken=[HALF])
    films = some_films(2)
    for _ in range(2):
        assert_same(reader.seen(films), by_host(network, films))
    assert reader.tried == [HALF, EXACT, EXACT]
    assert "no kernel for it" in caplog.text


def test_when_no_way_works_it_says_so_and_keeps_its_slots(network: LocalizationUNet) -> None:
    reader = Failing(network, LOOKS, CPU, [HALF, EXACT], broken=[HALF, EXACT])
    for _ in range(5):
        with pytest.raises(RuntimeError, match="no kernel"):
            reader(some_films(1))


def test_numbers_too_large_for_half_precision_are_seen(
    network: LocalizationUNet, caplog: pytest.LogCaptureFixture
) -> None:
    loud = folded(network)
    with torch.no_grad():
        loud.encoder.stem[1].weight.mul_(1e7)
        loud.encoder.stem[3] = nn.Identity()
    films = some_films(1)
    reader = DeviceReader(loud, LOOKS, CPU, [HALF, EXACT])
    reader(films)
    assert reader.way == EXACT
    assert "overflow" in caplog.text


def test_memory_that_is_short_is_not_a_way_that_fails(network: LocalizationUNet) -> None:
    class Full(DeviceReader):
        def _heads(self, pictures: Tensor) -> Heads:
            raise torch.OutOfMemoryError("out of memory")

    reader = Full(network, LOOKS, CPU, [HALF, EXACT])
    with pytest.raises(torch.OutOfMemoryError):
        reader(some_films(2))
    assert reader.way == HALF


def test_a_cpu_knows_one_way() -> None:
    assert ways_on(CPU) == (EXACT,)


def assert_same_findings(
    ours: Sequence[Prediction], theirs: Sequence[Prediction], films: Sequence[Film], reference: Predictor
) -> None:
    """As tests/model/test_invariance has it: of all findings but a few at the very point IoU >= 0.5."""
    matches: list[float] = []
    for one, other, film in zip(ours, theirs, films, strict=True):
        for a, b in (((film, one), (film, other)), ((film, other), (film, one))):
            matches += best_matches(reference, a, b, AT_THE_POINT)
        assert one.score == pytest.approx(other.score, abs=0.05)
        assert (one.frontal_chest >= reference.manifest.gate) == (other.frontal_chest >= reference.manifest.gate)
    assert len(matches) >= len(films)
    # two boxes that are just one finding at one precision may be two at the other
    assert np.mean(np.array(matches) >= 0.5) > 0.95


@pytest.mark.data
def test_half_precision_finds_the_same_on_real_films(data: Path) -> None:
    reference = load_predictor(device="cpu", threads=1)
    assert isinstance(reference, NetworkPredictor)
    films = [open_film(example) for example in chosen(data)]
    wanted = reference.predict(films)
    half = load_predictor(device="cpu", threads=1)
    half._reader = DeviceReader(half._network, half._looks, CPU, [HALF])
    assert_same_findings(half.predict(films), wanted, films, reference)


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that CUDA can use")


@cuda
@pytest.mark.data
def test_a_gpu_finds_what_the_cpu_finds(data: Path) -> None:
    reference, gpu = load_predictor(device="cpu", threads=1), load_predictor(device="cuda")
    films = [open_film(example) for example in chosen(data)]
    said = gpu.predict(films)
    assert "CPU" not in gpu.device_name
    assert isinstance(gpu._reader, DeviceReader)
    assert gpu._reader.way == Way(torch.float16, captured=True)
    assert_same_findings(said, reference.predict(films), films, reference)


@cuda
@pytest.mark.parametrize("way", [Way(torch.float32, captured=True), Way(torch.float32, captured=False)])
@pytest.mark.parametrize("count", [1, 3, BUCKETS[-1]])
def test_a_graph_says_what_its_kernels_say(network: LocalizationUNet, way: Way, count: int) -> None:
    films, device = some_films(count), torch.device("cuda")
    reader = DeviceReader(network, LOOKS, device, [way])
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for batch in (some_films(BUCKETS[-1]), films, films):
            said = reader.seen(batch)
    assert reader.way == way
    assert_same(said, by_host(network, films), tolerance=1e-2)


@cuda
def test_threads_share_one_gpu(network: LocalizationUNet) -> None:
    reader = DeviceReader(network, LOOKS, torch.device("cuda"))
    batches = [some_films(1 + number % 5) for number in range(40)]
    alone = [reader.seen(films) for films in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(reader.seen, batches))
    for one, other in zip(together, alone, strict=True):
        assert_same(one, other, tolerance=1e-2)
