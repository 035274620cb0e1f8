// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>

/// Machine-made mutants that share one program: tests/mutants/flips writes `a < Flip<7, Less,
/// LessEqual>{} < b` for `a < b`, and the environment variable SJD_FLIP says which site is flipped.
/// The operators keep their precedence, so no expression has to be taken apart.
namespace sjd_flip {

/// The site that is flipped, 0 for none.
inline const int chosen =
    std::getenv("SJD_FLIP") == nullptr ? 0 : std::atoi(std::getenv("SJD_FLIP"));

/// Exit code of a site whose flip has no meaning for its types, like string - string.
inline constexpr int meaningless = 99;

template <int Site, class Old, class New>
struct Flip {};

/// The left side of a binary operator with its site.
template <class A, int Site, class Old, class New>
struct Left {
  const A& a;
};

template <class Old, class New, class A, class B>
constexpr auto choose(int site, const A& a, const B& b) {
  using Result = decltype(Old::of(a, b));
  if (chosen != site) return Old::of(a, b);
  if constexpr (requires { static_cast<Result>(New::of(a, b)); }) {
    return static_cast<Result>(New::of(a, b));
  } else {
    std::_Exit(meaningless);
    return Old::of(a, b);
  }
}

#define SJD_FLIP_OPERATOR(Name, token)                                                 \
  struct Name {                                                                        \
    template <class A, class B>                                                        \
    static constexpr auto of(const A& a, const B& b) requires requires {               \
      a token b;                                                                       \
    }                                                                                  \
    { return a token b; }                                                              \
  };                                                                                   \
  template <class A, int Site, class Old, class New>                                   \
  constexpr Left<A, Site, Old, New> operator token(const A& a, Flip<Site, Old, New>) { \
    return {a};                                                                        \
  }                                                                                    \
  template <class A, int Site, class Old, class New, class B>                          \
  constexpr auto operator token(const Left<A, Site, Old, New>& left, const B& b) {     \
    return choose<Old, New>(Site, left.a, b);                                          \
  }

SJD_FLIP_OPERATOR(Less, <)
SJD_FLIP_OPERATOR(LessEqual, <=)
SJD_FLIP_OPERATOR(Greater, >)
SJD_FLIP_OPERATOR(GreaterEqual, >=)
SJD_FLIP_OPERATOR(Equal, ==)
SJD_FLIP_OPERATOR(Unequal, !=)
SJD_FLIP_OPERATOR(Plus, +)
SJD_FLIP_OPERATOR(Minus, -)
SJD_FLIP_OPERATOR(Times, *)
SJD_FLIP_OPERATOR(Over, /)
SJD_FLIP_OPERATOR(Rest, %)
SJD_FLIP_OPERATOR(LeftShift, <<)
SJD_FLIP_OPERATOR(RightShift, >>)

#undef SJD_FLIP_OPERATOR

/// A constant or its flip.
template <int Site, class Number>
constexpr Number value(Number old_value, Number new_value) {
  return chosen == Site ? new_value : old_value;
}

}  // namespace sjd_flip
