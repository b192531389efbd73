# For `tests/run` and `.ci/run`: says what is done now, and how many minutes the step before it took.
begun=""
step() {
  [ -z "$begun" ] || printf '== %d.%d min: %s\n' $(((SECONDS - begun) / 60)) $(((SECONDS - begun) % 60 / 6)) "$doing"
  begun=$SECONDS doing="$*"
  [ -z "$doing" ] || printf '\n== %s\n' "$doing"
}
