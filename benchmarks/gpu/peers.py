#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times what other libraries need for the shapes of gpu_bench, where a machine has them.

  peers.py FILE.tsv      measure, and leave lines for gpu_table
  peers.py --list        every measurement, and what it needs
  peers.py --self-test   the measuring loop and the missing-library paths, on stub modules

PyTorch eager is written as the operations that the published SJD decoder issues one by one, in our
own words. Nothing of another project is copied; a library that is missing or refuses is a line that
says so.
"""

import importlib
import itertools
import statistics
import sys

ROWS = 96
TOP_K = 2000
GUIDANCE = 3.0
ROUNDS = 15
PIECES = 20
MISSING = "not on this machine"


class Peer:
    """One measurement: build(modules) returns piece(i), the work that is timed."""

    def __init__(self, key, shape, who, needs, build, ratio=None):
        self.id, self.shape, self.who = key, shape, who
        self.needs, self.build, self.ratio = needs, build, ratio


def logits_of(torch, vocab, rows=ROWS, copies=None):
    """[copies, 2, rows, vocab] bf16, together larger than a second-level cache; the spread of laws
    after guidance."""
    if copies is None:
        copies = 1 + (128 << 20) // (2 * rows * vocab * 2)
    torch.manual_seed(1)
    return (torch.randn(copies, 2, rows, vocab, device="cuda") * 2.5).to(torch.bfloat16)


def mixed(pair):
    """Guidance in fp32, [rows, vocab]."""
    cond, uncond = pair[0].float(), pair[1].float()
    return uncond + GUIDANCE * (cond - uncond)


def law_of(torch, z):
    """Everything below the k-th largest logit removed, then softmax."""
    kth = torch.topk(z, TOP_K, dim=-1).values[..., -1:]
    return torch.softmax(z.masked_fill(z < kth, float("-inf")), dim=-1)


def eager_rows(vocab, compiled=False):
    def build(modules):
        torch = modules["torch"]
        logits = logits_of(torch, vocab)

        def sample(pair):
            law = law_of(torch, mixed(pair))
            return law, torch.multinomial(law, 1)

        work = torch.compile(sample) if compiled else sample
        return lambda i: work(logits[i % logits.shape[0]])

    return build


def flashinfer_chain(vocab):
    def build(modules):
        torch, sampling = modules["torch"], modules["flashinfer.sampling"]
        logits = logits_of(torch, vocab)

        def piece(i):
            law = torch.softmax(mixed(logits[i % logits.shape[0]]), dim=-1)
            law = sampling.top_k_renorm_probs(law, TOP_K)
            return law, sampling.sampling_from_probs(law)

        return piece

    return build


def flashinfer_fused(vocab):
    def build(modules):
        torch, sampling = modules["torch"], modules["flashinfer.sampling"]
        logits = logits_of(torch, vocab)
        return lambda i: sampling.top_k_top_p_sampling_from_logits(
            mixed(logits[i % logits.shape[0]]), TOP_K, 1.0)

    return build


def vllm_sampler(vocab):
    def build(modules):
        torch, ops = modules["torch"], modules["vllm.v1.sample.ops.topk_topp_sampler"]
        logits = logits_of(torch, vocab)
        k = torch.full((ROWS,), TOP_K, dtype=torch.int32, device="cuda")

        def piece(i):
            z = ops.apply_top_k_top_p(mixed(logits[i % logits.shape[0]]), k, None)
            return ops.random_sample(torch.softmax(z, dim=-1, dtype=torch.float32), {})

        return piece

    return build


def drafts_of(torch, sequences, rows, vocab=8192):
    """Laws p and q [sequences, rows, vocab] that are near each other, drafts drawn from q."""
    z = logits_of(torch, vocab, sequences * rows, 1)[0, 0].float()
    p = law_of(torch, z)
    q = law_of(torch, z + 0.3 * torch.randn_like(z))
    drafts = torch.multinomial(q, 1)
    return p.view(sequences, rows, vocab), q.view(sequences, rows, vocab), drafts.view(sequences, rows)


def eager_verify(sequences, rows):
    """Ratio test of all drafts, the first rejection by a product of prefixes, the residual there."""

    def build(modules):
        torch = modules["torch"]
        p, q, drafts = drafts_of(torch, sequences, rows)
        at = torch.arange(sequences, device="cuda")

        def piece(_):
            index = drafts.unsqueeze(-1)
            ratio = p.gather(-1, index).squeeze(-1) / q.gather(-1, index).squeeze(-1)
            accepted = torch.rand_like(ratio) < ratio
            length = accepted.long().cumprod(-1).sum(-1).clamp(max=rows - 1)
            rest = (p[at, length] - q[at, length]).clamp(min=0)
            total = rest.sum(-1, keepdim=True)
            rest = torch.where(total > 0, rest / total, p[at, length])
            return length, torch.multinomial(rest, 1)

        return piece

    return build


def flashinfer_verify(sequences, rows):
    def build(modules):
        torch, sampling = modules["torch"], modules["flashinfer.sampling"]
        p, q, drafts = drafts_of(torch, sequences, rows)
        last = p[:, -1:].contiguous()
        targets = torch.cat((p, last), dim=1)
        accepted = torch.zeros(sequences, dtype=torch.int32, device="cuda")
        emitted = torch.zeros(sequences, dtype=torch.int32, device="cuda")
        tokens = drafts.to(torch.int32)
        return lambda _: sampling.chain_speculative_sampling(q, tokens, targets, accepted, emitted)

    return build


def eager_window(rows, dim, compiled=False):
    """Gather the drafts' rows of the table, normalise, one denoising step, de-normalise."""

    def build(modules):
        torch = modules["torch"]
        table = torch.randn(8192, dim, device="cuda")
        mean, scale = table.mean(0), table.std(0)
        z = torch.randn(rows, dim, device="cuda")
        tokens = torch.randint(8192, (rows,), device="cuda")

        def step(z):
            clean = (table[tokens] - mean) / scale
            following = 0.8 * z + 0.2 * clean
            return following, following * scale + mean

        work = torch.compile(step) if compiled else step
        return lambda _: work(z)

    return build


def eager_step(modules):
    rows = eager_rows(8192)(modules)
    verify = eager_verify(1, ROWS)(modules)
    window = eager_window(ROWS, 4096)(modules)

    def piece(i):
        rows(i)
        verify(i)
        window(i)

    return piece


def all_peers():
    torch, infer = ["torch"], ["torch", "flashinfer.sampling"]
    vllm = ["torch", "vllm.v1.sample.ops.topk_topp_sampler"]
    peers = []
    for vocab in (8192, 32768, 65536, 184622):
        key = "G1" if vocab == 8192 else "G2"
        shape = f"{ROWS} rows, V {vocab}"
        wanted = (100, 8, 8) if vocab == 8192 else (None, None, None)
        peers += [
            Peer(key, shape, "PyTorch eager", torch, eager_rows(vocab), wanted[0]),
            Peer(key, shape, "torch.compile", torch, eager_rows(vocab, True)),
            Peer(key, shape, "FlashInfer chain", infer, flashinfer_chain(vocab), wanted[1]),
            Peer(key, shape, "FlashInfer fused draw", infer, flashinfer_fused(vocab)),
            Peer(key, shape, "vLLM top-k and draw", vllm, vllm_sampler(vocab), wanted[2]),
        ]
    for sequences, rows in ((1, 16), (1, 96), (32, 96)):
        shape = f"verify, {sequences} x {rows} rows"
        peers.append(Peer("G3", shape, "PyTorch eager", torch, eager_verify(sequences, rows), 200))
        peers.append(
            Peer("G3", shape, "FlashInfer chain", infer, flashinfer_verify(sequences, rows), 5))
    for dim in (2048, 4096):
        shape = f"window, {ROWS} rows of {dim}"
        peers.append(Peer("G4", shape, "PyTorch eager", torch, eager_window(ROWS, dim), 10))
        peers.append(Peer("G4", shape, "torch.compile", torch, eager_window(ROWS, dim, True)))
    peers.append(Peer("G5", f"step, 1 x {ROWS} rows, noise of 4096", "PyTorch eager", torch,
                      eager_step))
    return peers


class CudaClock:
    """Microseconds of a call by events; the second-level cache is written over before it."""

    def __init__(self, torch):
        self.torch = torch
        self.flushed = torch.empty(1 << 28, dtype=torch.uint8, device="cuda")

    def time(self, work):
        begin = self.torch.cuda.Event(enable_timing=True)
        end = self.torch.cuda.Event(enable_timing=True)
        self.flushed.zero_()
        begin.record()
        work()
        end.record()
        end.synchronize()
        return 1e3 * begin.elapsed_time(end)


def timed(clock, pieces):
    """[peer][round] microseconds a piece, in turns; two rounds first that are not counted."""
    times = [[] for _ in pieces]
    for turn in range(-2, ROUNDS):
        for times_of, piece in zip(times, pieces):
            spent = clock.time(lambda: [piece(i) for i in range(PIECES)])
            if turn >= 0:
                times_of.append(spent / PIECES)
    return times


def line(peer, times=None, note=""):
    numbers = ["", "", ""]
    if times:
        quarters = statistics.quantiles(times, n=4, method="inclusive")
        numbers = [f"{quarters[1]:.6g}", f"{quarters[0]:.6g}", f"{quarters[2]:.6g}"]
    ratio = "" if peer.ratio is None else str(peer.ratio)
    note = " ".join(note.split())[:160]
    return "\t".join([peer.id, peer.shape, peer.who, "us", *numbers, "", "", ratio, note])


def load(names, find):
    """The modules of a peer, or the sentence that its line gets."""
    modules = {}
    for name in names:
        try:
            modules[name] = find(name)
        except ImportError:
            return None, f"{name.split('.')[0]}: {MISSING}"
        except Exception as error:  # a broken installation is as good as none
            return None, f"{name}: {type(error).__name__}: {error}"
    return modules, ""


def measure(peers, find, make_clock):
    """Yields the lines of all peers: those of one shape are timed together."""
    for shape in dict.fromkeys(peer.shape for peer in peers):
        ready = []
        for peer in (p for p in peers if p.shape == shape):
            modules, problem = load(peer.needs, find)
            if modules is None:
                yield line(peer, note=problem)
                continue
            try:
                piece = peer.build(modules)
                piece(0)  # compiles, and shows what does not run
                ready.append((peer, piece, modules))
            except Exception as error:
                yield line(peer, note=f"{type(error).__name__}: {error}")
        if not ready:
            continue
        try:
            clock = make_clock(ready[0][2]["torch"])
            times, problem = timed(clock, [piece for _, piece, _ in ready]), ""
        except Exception as error:  # the other shapes may still fit
            times, problem = [None] * len(ready), f"{type(error).__name__}: {error}"
        for (peer, _, _), times_of in zip(ready, times):
            yield line(peer, times_of, problem)


def found_module(name):
    if not importlib.import_module("torch").cuda.is_available():
        raise RuntimeError("PyTorch sees no GPU")
    return importlib.import_module(name)


def versions():
    facts = []
    for name in ("torch", "triton", "flashinfer", "vllm"):
        try:
            facts.append(f"{name} {getattr(importlib.import_module(name), '__version__', '?')}")
        except Exception:
            facts.append(f"{name}: {MISSING}")
    return "#\tpeers\t" + ", ".join(facts)


def self_test():
    """Stub modules and a clock that counts: no number of this is a measurement."""
    failures = []

    def expect(what, found, wanted):
        if found != wanted:
            failures.append(f"{what}: {found!r}, not {wanted!r}")

    def nothing(name):
        raise ImportError(name)

    lines = list(measure(all_peers(), nothing, None))
    expect("a line for every peer", len(lines), len(all_peers()))
    expect("fields of a line", {len(text.split("\t")) for text in lines}, {11})
    expect("all say why", {text.split("\t")[-1] for text in lines}, {f"torch: {MISSING}"})

    order = []

    class Clock:
        now = 0.0

        def time(self, work):
            work()
            Clock.now += 1.0
            return PIECES * Clock.now

    def stub(name):
        def build(modules):
            expect("modules", sorted(modules), ["torch"])
            return lambda i: order.append((name, i))

        return build

    def broken(_):
        raise RuntimeError("two\tlines\nof words")

    peers = [Peer("G1", "s", "a", ["torch"], stub("a"), 8), Peer("G1", "s", "b", ["torch"], stub("b")),
             Peer("G1", "s", "c", ["torch"], broken), Peer("G1", "s", "d", ["other"], stub("d"))]

    def only_torch(name):
        return object() if name == "torch" else nothing(name)

    lines = {text.split("\t")[2]: text.split("\t") for text in measure(peers, only_torch, lambda _: Clock())}
    turns = [name for name, i in order[2:] if i == 0]
    expect("in turns", turns, ["a", "b"] * (ROUNDS + 2))
    odd = [2.0 * turn + 1.0 for turn in range(2, ROUNDS + 2)]  # what the clock counted for a
    expect("median", float(lines["a"][4]), statistics.median(odd))
    expect("quartiles", (float(lines["a"][5]) < float(lines["a"][4]) < float(lines["a"][6])), True)
    expect("target", lines["a"][9], "8")
    expect("a peer that fails", (lines["c"][4], lines["c"][-1]), ("", "RuntimeError: two lines of words"))
    late = [text.split("\t") for text in measure(peers[:2], only_torch, broken)]
    expect("a clock that fails", [(f[4], f[-1]) for f in late], 2 * [("", "RuntimeError: two lines of words")])
    expect("a missing module", (lines["d"][4], lines["d"][-1]), ("", f"other: {MISSING}"))
    for failure in failures:
        print("FAILED", failure)
    print("peers.py: self-test", "failed" if failures else "passed", "(stub modules, no measurement)")
    return 1 if failures else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if arguments == ["--list"]:
        for peer in all_peers():
            print(f"{peer.id}  {peer.shape:38} {peer.who:24} needs {', '.join(peer.needs)}")
        return 0
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__.strip(), file=sys.stdout if arguments == ["--help"] else sys.stderr)
        return 0 if arguments == ["--help"] else 64
    with open(arguments[0], "w", encoding="utf-8") as file:
        for text in itertools.chain([versions()], measure(all_peers(), found_module, CudaClock)):
            file.write(text + "\n")
            file.flush()  # what stands here stays, if the time is up
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
