// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/cuda/device_batch.hpp"
#include "sjd/cuda/device_pass.hpp"
#include "sjd/cuda/device_rules.hpp"
#include "sjd/cuda/progress.hpp"
#include "sjd/cuda/step.hpp"
#include "sjd/detail/state_checks.hpp"

namespace sjd::cuda {

/// What a DeviceDecoder makes room for.
struct DecoderRoom {
  std::int64_t sequences = 1;    ///< that decode at the same time
  std::int64_t most_tokens = 0;  ///< of a finished picture
  std::int64_t branches = 1;     ///< of guidance, the most that a request has
  /// Tokens of a law: min(top_k, vocab) if every request has a top-k, else 0 for the vocabulary.
  std::int64_t capacity = 0;
  std::int64_t hidden_dim = 0;  ///< of the rows that the corrector reads; 0: it reads none
};

/// SpeculativeJacobiDenoiser on a device: passes and steps follow one another without the host,
/// which looks at a few words from time to time. Same tokens and counters for the same logits.
///
/// Decoder states enter at a place (the model's sequence of that number) and leave it again,
/// between two runs; the others do not notice. A run covers the places up to the highest one in
/// use, so a batch that drains becomes cheaper.
///
/// memory  borrows model, device, rules and what the corrector points to (the DeviceHead behind a
///         HeadChange); all device memory is allocated by the constructor
/// errors  invalid_argument for sizes that do not fit; whatever the device throws
/// threads one decoder, its model and its device belong to one thread at a time
template <class Model, DecodeDevice Device, class Logit = float, class Corrector = NoChange>
requires DeviceModel<Model, typename Device::Launcher, Logit>
class DeviceDecoder {
 public:
  DeviceDecoder(Model& model, Device& device, const DeviceRules<Device>& rules,
                const DecoderRoom& room, const DeviceLimits& limits, Corrector corrector = {})
      : model_{&model},
        device_{&device},
        rules_{&rules},
        room_{checked(room)},
        limits_{limits},
        corrector_{corrector},
        batch_{device, shape_of(rules.rules(), room)},
        logits_{device, pass_rows() * rules.rules().vocab},
        hidden_{device, pass_rows() * room.hidden_dim},
        embeddings_{device, tasks() * shape().dim},
        weights_{device, rules.rules().posterior ? tasks() * rules.rules().vocab : 0},
        input_{device, std::vector<InputRow>(static_cast<std::size_t>(pass_rows()), no_row())},
        tasks_{device, std::vector<RowTask>(static_cast<std::size_t>(tasks()))},
        verdicts_{device, redraws ? room.sequences : 0},
        keys_{device, needs_keys() ? tasks() * rules.rules().vocab : 0},
        parts_{device, plan(room.sequences).split ? tasks() * plan(room.sequences).slices : 0},
        progress_{device, std::vector<Progress>(1)},
        places_(static_cast<std::size_t>(room.sequences)) {
    expects(model.vocab_size() == rules.rules().vocab, ErrorCode::invalid_argument,
            "DeviceDecoder: the rules are of another vocabulary");
    expects(redraws || rules.rules().depth == 0, ErrorCode::invalid_argument,
            "DeviceDecoder: the rules have a corrector; give it as cuda::DeviceCorrector");
    check_hidden();
  }
  DeviceDecoder(Model&, Device&, const DeviceRules<Device>&&, const DecoderRoom&,
                const DeviceLimits&, Corrector = {}) = delete;
  DeviceDecoder(const DeviceDecoder&) = delete;
  DeviceDecoder& operator=(const DeviceDecoder&) = delete;

  [[nodiscard]] std::int64_t sequences() const { return room_.sequences; }

  /// Lets a sequence join at a free place; its prompt has run in the model's sequence `place`, and
  /// the cache there holds what the state has committed, but for the last token.
  ///
  /// errors  contract if there is no such place, or it is taken, or the state larger than the room,
  ///         see BatchImage::put; invalid_argument, naming the sequence, for a state that no
  ///         decoder with these rules can have made. Nothing has changed then
  void admit(std::int64_t place, DecoderState state) {
    Place& at = this->at(place);
    expects(!at.taken, ErrorCode::contract, "DeviceDecoder: the place is taken");
    expects(!state.finished(), ErrorCode::contract, "DeviceDecoder: the picture is finished");
    check(state);
    batch_.put(place, state, static_cast<std::int32_t>(shape().ring));
    at = {true, std::move(state)};
    join(device_->launcher(), window(room_.sequences), place);
  }

  /// Runs up to `most_steps` >= 1 passes, fewer if less than `least_live` >= 1 sequences are left.
  /// Returns how many are.
  ///
  /// errors  invalid_argument for other numbers
  std::int64_t advance(std::int32_t most_steps, std::int64_t least_live = 1) {
    expects(most_steps >= 1 && least_live >= 1, ErrorCode::invalid_argument,
            "DeviceDecoder: most_steps and least_live must be at least 1");
    const std::int64_t used = used_places();
    if (used == 0) return 0;
    Progress progress;
    progress.most_steps = most_steps;
    progress.least_live = static_cast<std::int32_t>(least_live);
    progress_.write(0, {&progress, 1});
    device_->repeat(used, progress_.data(), most_steps, [this, used](auto& launcher) {
      this->pass(launcher, used);
      this->judge(launcher, used);
    });
    progress_.read(0, {&progress, 1});
    return progress.live;
  }

  /// Launches one pass of the places in use. This and enqueue_step() are what a run repeats, for
  /// whoever times it or holds it in a graph of their own; nothing waits or allocates. What is
  /// launched serves until the highest place in use changes.
  ///
  /// errors  contract if no place is in use
  void enqueue_pass(typename Device::Launcher& launcher) const { pass(launcher, some_places()); }

  /// Launches the step behind enqueue_pass(): verdict, window, progress. It judges whatever logits
  /// the last pass left.
  ///
  /// errors  as enqueue_pass()
  void enqueue_step(typename Device::Launcher& launcher) const { judge(launcher, some_places()); }

  /// Places whose sequence is finished, or stands still.
  [[nodiscard]] std::vector<std::int64_t> ended() {
    std::vector<SequenceState> states(places_.size());
    batch_.read_states(states);
    std::vector<std::int64_t> ended;
    for (std::size_t i = 0; i < states.size(); ++i) {
      const SequenceState& s = states[i];
      if (!places_[i].taken) continue;
      if (s.status != SequenceStatus::running || s.committed >= s.total) {
        ended.push_back(static_cast<std::int64_t>(i));
      }
    }
    return ended;
  }

  /// Takes a sequence out, finished or not, and frees its place.
  ///
  /// errors  contract if the place is free, or there is none; those of check_sequence if the
  ///         sequence stands still: invalid_logits, empty_support or contract. The place is free
  ///         then
  [[nodiscard]] DecoderState release(std::int64_t place) {
    Place& at = this->at(place);
    expects(at.taken, ErrorCode::contract, "DeviceDecoder: the place is free");
    try {
      batch_.get(place, at.state);
    } catch (...) {
      vacate(place);
      throw;
    }
    vacate(place);
    return std::move(at.state);
  }

  /// Decodes `count` pictures, as many at a time as there are places; `start(place, number)` runs
  /// the prompt of a picture in the model's sequence `place` and returns its first state. The host
  /// looks at the progress every `poll_every` >= 1 passes, and when one may join.
  ///
  /// errors  contract if a place is in use already; as advance() and release(), and what `start`
  ///         throws: all places are then free
  template <class Start>
  [[nodiscard]] std::vector<DecoderState> decode(std::int64_t count, const Start& start,
                                                 std::int32_t poll_every = 8) {
    expects(count >= 0, ErrorCode::invalid_argument, "DeviceDecoder: count must be at least 0");
    expects(taken() == 0, ErrorCode::contract,
            "DeviceDecoder: decode() needs all places; release() what was admitted");
    std::vector<DecoderState> done(static_cast<std::size_t>(count));
    std::vector<std::int64_t> owner(places_.size());
    try {
      for (std::int64_t next = 0;;) {
        next = fill(next, count, start, owner, done);
        const std::int64_t busy = taken();
        if (busy == 0) return done;
        if (advance(poll_every, next < count ? busy : 1) == busy) continue;
        for (const std::int64_t place : ended()) {
          done[static_cast<std::size_t>(owner[static_cast<std::size_t>(place)])] = release(place);
        }
      }
    } catch (...) {
      vacate_all();
      throw;
    }
  }

 private:
  static constexpr bool redraws = !std::is_same_v<Corrector, NoChange>;

  struct Place {
    bool taken = false;
    DecoderState state;  // as it entered
  };

  static const DecoderRoom& checked(const DecoderRoom& room) {
    expects(room.sequences >= 1 && room.most_tokens >= 1 && room.branches >= 1 &&
                room.capacity >= 0 && room.hidden_dim >= 0,
            ErrorCode::invalid_argument,
            "DeviceDecoder: room for at least one sequence, token and branch is needed");
    return room;
  }

  /// Kernels check nothing of a state, and a model need not.
  void check(const DecoderState& state) const {
    if (const char* fault = sjd::detail::state_fault(state, rules_->bounds())) {
      throw Error{
          ErrorCode::invalid_argument,
          "DeviceDecoder: the state of sequence " + std::to_string(state.sequence) + ": " + fault,
          state.sequence, state.committed() - 1};
    }
    state.sampling.validate();
  }

  /// No pass has more rows than its picture has tokens, however wide the window.
  static BatchShape shape_of(const DecodeRules& rules, const DecoderRoom& room) {
    return {room.sequences,
            std::min<std::int64_t>(rules.window_rows, room.most_tokens),
            room.most_tokens,
            rules.noisy ? rules.dim : 0,
            room.capacity == 0 ? rules.vocab : room.capacity,
            room.branches,
            rules.noisy ? rules.schedule.levels : 0};
  }
  static InputRow no_row() {
    InputRow row;
    row.sequence = -1;
    return row;
  }
  [[nodiscard]] const BatchShape& shape() const { return batch_.shape(); }
  [[nodiscard]] std::int64_t tasks() const { return room_.sequences * shape().ring; }
  [[nodiscard]] std::int64_t pass_rows() const { return tasks() * room_.branches; }
  [[nodiscard]] RowsPlan plan(std::int64_t sequences) const {
    return plan_rows(rules_->rules().vocab, sequences * shape().ring, limits_);
  }
  [[nodiscard]] RowsPlan redraw_plan(std::int64_t sequences) const {
    return plan_redraw(rules_->rules().vocab, sequences, limits_);
  }
  [[nodiscard]] bool needs_keys() const {
    return plan(room_.sequences).split || (redraws && redraw_plan(room_.sequences).split);
  }

  /// Without this a kernel would read or write behind an array.
  void check_hidden() const {
    if constexpr (requires { model_->hidden_dim(); }) {
      expects(room_.hidden_dim == 0 || room_.hidden_dim == model_->hidden_dim(),
              ErrorCode::invalid_argument,
              "DeviceDecoder: room.hidden_dim is not the model's hidden_dim()");
    }
    if constexpr (requires { corrector_.head; }) {
      expects(corrector_.head.hidden_dim == room_.hidden_dim &&
                  corrector_.head.vocab == rules_->rules().vocab &&
                  corrector_.sequences >= room_.sequences &&
                  corrector_.depth >= rules_->rules().depth,
              ErrorCode::invalid_argument,
              "DeviceDecoder: the corrector head is of another width or vocabulary, or made for "
              "fewer sequences or drafts");
    }
  }

  [[nodiscard]] Place& at(std::int64_t place) {
    expects(place >= 0 && place < sequences(), ErrorCode::contract,
            "DeviceDecoder: there is no such place");
    return places_[static_cast<std::size_t>(place)];
  }
  /// Frees a place; a device that fails has nothing left to keep.
  void vacate(std::int64_t place) {
    at(place).taken = false;
    batch_.clear(place);
    join(device_->launcher(), window(room_.sequences), place);
  }
  /// The same for all, for an error on its way: one of the device must not take its place.
  void vacate_all() noexcept {
    for (std::int64_t place = 0; place < sequences(); ++place) {
      if (!at(place).taken) continue;
      try {
        vacate(place);
      } catch (...) {
      }
    }
  }

  [[nodiscard]] std::int64_t taken() const {
    return std::count_if(places_.begin(), places_.end(), [](const Place& p) { return p.taken; });
  }
  /// One more than the highest place in use.
  [[nodiscard]] std::int64_t used_places() const {
    std::int64_t used = 0;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      if (places_[i].taken) used = static_cast<std::int64_t>(i) + 1;
    }
    return used;
  }

  /// used_places(), at least one.
  [[nodiscard]] std::int64_t some_places() const {
    const std::int64_t used = used_places();
    expects(used > 0, ErrorCode::contract, "DeviceDecoder: no place is in use");
    return used;
  }

  /// Starts pictures from `next` on while places are free; returns the first that has to wait.
  template <class Start>
  std::int64_t fill(std::int64_t next, std::int64_t count, const Start& start,
                    std::vector<std::int64_t>& owner, std::vector<DecoderState>& done) {
    for (std::size_t i = 0; i < places_.size(); ++i) {
      while (next < count && !places_[i].taken) {
        const auto place = static_cast<std::int64_t>(i);
        DecoderState state = start(place, next);
        owner[i] = next++;
        if (state.finished()) {
          done[static_cast<std::size_t>(owner[i])] = std::move(state);
        } else {
          admit(place, std::move(state));
        }
      }
    }
    return next;
  }

  [[nodiscard]] WindowArguments window(std::int64_t sequences) const {
    WindowArguments w;
    w.batch = batch_.view(sequences);
    rules_->write(weights_.data(), w);
    w.rows = shape().ring;
    w.branches = room_.branches;
    w.embeddings = embeddings_.data();
    w.input = input_.data();
    w.tasks = tasks_.data();
    return w;
  }

  [[nodiscard]] MatrixView<Logit, DeviceMemory> logits(std::int64_t sequences) const {
    return {logits_.data(), sequences * room_.branches * shape().ring, rules_->rules().vocab};
  }

  [[nodiscard]] StepArguments<Logit, Corrector> step(std::int64_t sequences) const {
    StepArguments<Logit, Corrector> step;
    step.window = window(sequences);
    step.plan = plan(sequences);
    step.sequences = {step.window.batch, rules_->rules().judge, verdicts_.data(),
                      rules_->rules().depth};
    step.rows.logits = logits(sequences);
    step.rows.tasks = tasks_.data();
    step.rows.task_count = sequences * shape().ring;
    step.rows.settings = step.window.batch.settings;
    step.rows.grammar = step.window.grammar;
    step.rows.laws = step.window.batch.laws;
    step.rows.draw = rules_->rules().draw;
    step.rows.workspace = {keys_.data(), parts_.data()};
    step.corrector = corrector_;
    if constexpr (redraws) step.redraw_plan = redraw_plan(sequences);
    if constexpr (requires { step.corrector.hidden; }) {
      step.corrector.hidden = hidden_.data();
      step.corrector.branches = room_.branches;
      step.corrector.rows = shape().ring;
    }
    return step;
  }

  // Nothing in these two waits or allocates.
  template <class Launcher>
  void pass(Launcher& launcher, std::int64_t sequences) const {
    model_->enqueue(launcher,
                    DevicePass<Logit>{sequences, room_.branches, shape().ring, input_.data(),
                                      embeddings_.data(), logits(sequences), hidden_.data()});
  }
  template <class Launcher>
  void judge(Launcher& launcher, std::int64_t sequences) const {
    decode_step(launcher, step(sequences));
    count_progress(launcher, {batch_.view(sequences).states, sequences, progress_.data()});
  }

  Model* model_;
  Device* device_;
  const DeviceRules<Device>* rules_;
  DecoderRoom room_;
  DeviceLimits limits_;
  Corrector corrector_;
  DeviceBatch<Device> batch_;
  DeviceArray<Logit, Device> logits_;        // [sequences, branches, rows, vocab]
  DeviceArray<float, Device> hidden_;        // [sequences, branches, rows, hidden_dim]
  DeviceArray<float, Device> embeddings_;    // [sequences x rows, dim]
  DeviceArray<float, Device> weights_;       // [sequences x rows, vocab], of the posterior
  DeviceArray<InputRow, Device> input_;      // [sequences, branches, rows]
  DeviceArray<RowTask, Device> tasks_;       // [sequences, rows]
  DeviceArray<Verdict, Device> verdicts_;    // [sequences], with a corrector
  DeviceArray<std::uint32_t, Device> keys_;  // [sequences x rows, vocab], where plans need them
  DeviceArray<RowPart, Device> parts_;
  DeviceArray<Progress, Device> progress_;  // [1]
  std::vector<Place> places_;
};

}  // namespace sjd::cuda
