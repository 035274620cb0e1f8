// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sjd/denoiser.hpp"

namespace sjd {

/// The published methods as compositions; each says in one line what it is made of. All take
/// another window plan as their last argument.

/// Jacobi decoding of the greedy picture (arXiv 2002.03629).
template <class Model, class Window = FixedWindow>
using JacobiGreedy =
    SpeculativeJacobiDenoiser<Model, Window, NoNoise, GreedyEquality, ModeRefinement>;

/// Speculative Jacobi Decoding (arXiv 2410.01699), drafts redrawn in every iteration.
template <class Model, class Window = FixedWindow>
using Sjd = SpeculativeJacobiDenoiser<Model, Window, NoNoise, SpeculativeAcceptance, FreshRedraw>;

/// SJD with maximally coupled drafts (MC-SJD, arXiv 2510.24211).
template <class Model, class Window = FixedWindow>
using CoupledSjd =
    SpeculativeJacobiDenoiser<Model, Window, NoNoise, SpeculativeAcceptance, MaximalCoupling>;

/// SJD2 (arXiv 2510.08994) with the clean-prefix gate, clean estimates redrawn in every iteration.
template <class Model, class Feed = PosteriorMean, class Window = FixedWindow>
using Sjd2 = SpeculativeJacobiDenoiser<Model, Window, KarrasSchedule, SpeculativeAcceptance,
                                       FreshRedraw, Feed>;

/// SJD2 with maximally coupled clean estimates.
template <class Model, class Feed = PosteriorMean, class Window = FixedWindow>
using CoupledSjd2 = SpeculativeJacobiDenoiser<Model, Window, KarrasSchedule, SpeculativeAcceptance,
                                              MaximalCoupling, Feed>;

/// Coupled SJD whose drafts behind a correction are redrawn by the head that ships with the
/// checkpoint.
template <class Model, class Window = FixedWindow>
using CorrectedSjd = SpeculativeJacobiDenoiser<Model, Window, NoNoise, SpeculativeAcceptance,
                                               MaximalCoupling, HeadCorrector>;

/// Coupled SJD2 with the same head.
template <class Model, class Feed = PosteriorMean, class Window = FixedWindow>
using CorrectedSjd2 =
    SpeculativeJacobiDenoiser<Model, Window, KarrasSchedule, SpeculativeAcceptance, MaximalCoupling,
                              Feed, HeadCorrector>;

/// SJD2 whose acceptance runs into noisy rows. Lossy: for comparison only.
template <class Model, class Feed = PosteriorMean, class Window = FixedWindow>
using UngatedSjd2 =
    SpeculativeJacobiDenoiser<Model, Window, KarrasSchedule, UngatedAcceptance, FreshRedraw, Feed>;

/// Predictive sampling (Wiggers and Hoogeboom, ICML 2020): AR's own tokens, bit for bit.
template <class Model, class Window = FixedWindow>
using GumbelSjd = SpeculativeJacobiDenoiser<Model, Window, NoNoise, GumbelEquality, GumbelCoupling>;

/// Predictive sampling with a denoising window.
template <class Model, class Feed = PosteriorMean, class Window = FixedWindow>
using GumbelSjd2 =
    SpeculativeJacobiDenoiser<Model, Window, KarrasSchedule, GumbelEquality, GumbelCoupling, Feed>;

}  // namespace sjd
