#!/usr/bin/env bash
# demo.sh BINARY: starts the demo, pastes the lines that it prints, and looks at what it shows.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "$demo" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
mkfifo "$dir/out"
"$1" demo --dir "$dir/demo" --listen 127.0.0.1:0 >"$dir/out" 2>"$dir/err" &
demo=$!
shown="" arrived=0
while IFS= read -r -t 60 line; do
  shown+="$line"$'\n'
  case $line in
    *"Ctrl-C ends the demo."*)
      # What a newcomer pastes: the lines between "swaks" and the next empty one.
      awk '/^    swaks /,/^$/' <<<"$shown" >"$dir/paste"
      bash -e "$dir/paste" >"$dir/swaks" 2>&1 || { cat "$dir/swaks"; exit 1; }
      ;;
    "Arrived at "*) arrived=$((arrived + 1)) ;;
    "  | "*) [ "$line" = "${line/@*.example/}" ] || { echo "a real address arrived: $line"; exit 1; } ;;
    "") [ "$arrived" = 2 ] && break ;;
  esac
done <"$dir/out"
[ "$arrived" = 2 ] || { echo "$shown"; cat "$dir/err" "$dir/swaks"; echo "demo: $arrived message(s) arrived, not 2"; exit 1; }
echo "demo: both messages arrived, with aliases only"
