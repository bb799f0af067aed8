# Read by the scripts beside it: numbers of what nibble prints with --json.

# A number of a JSON object: number KEY < FILE. Every key asked for occurs once, or first where it is asked for.
number() { grep -o "\"$1\":[-0-9.eE+]*" | head -n 1 | cut -d: -f2; }

# The mean divergence that eval measured: divergence FILE.
divergence() { grep -o '"kld":{[^}]*}' "$1" | number mean; }
