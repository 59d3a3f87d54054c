#!/bin/sh
# A component server in POSIX shell and awk, written by hand against the wire (docs/protocol): JSON-RPC 2.0, one message per line,
# requests on stdin, answers on stdout, stderr is the log. No SDK, no jq. It has one component, which counts the lines of a file.
set -u

# JSON of the members that matter here, a line each, empty where there is none: id, method, component, file of the input.
# Members may come in any order and with blanks between them, and texts may look like members.
members() {
  printf '%s\n' "$1" | LC_ALL=C awk '
    function at() { return substr(s, p, 1) }
    function next_one() { while (p <= n && at() ~ /[ \t\r]/) p++; return at() }
    function text(  start, c) {
      for (start = p++; p <= n && (c = at()) != "\""; p++) if (c == "\\") p++
      return substr(s, start, ++p - start)
    }
    function value(path,  start, end, key, c) {
      c = next_one(); start = p
      if (c == "\"") text()
      else if (c == "{" || c == "[") {
        end = c == "{" ? "}" : "]"; p++
        while ((c = next_one()) != "" && c != end) {
          key = "[]"
          if (end == "}") { key = text(); next_one(); p++ }
          value(path key)
          if (next_one() == ",") p++
        }
        p++
      } else {
        p++
        while (at() ~ /[-+.0-9A-Za-z]/) p++
      }
      found[path] = substr(s, start, p - start)
    }
    { s = $0; n = length(s); p = 1; value("") }
    END {
      print found["\"id\""]; print found["\"method\""]
      print found["\"params\"\"component\""]; print found["\"params\"\"input\"\"file\""]
    }'
}

result() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
failure() { printf '{"jsonrpc":"2.0","id":%s,"error":{"code":%s,"message":"%s","data":%s}}\n' "$id" "$1" "$2" "${3:-null}"; }

info='{"component":"/lines","description":"Counts the lines of a file.","input_schema":{"type":"object",
"properties":{"file":{"type":"string"}},"required":["file"]},"output_schema":{"type":"integer"}}'
info=$(printf %s "$info" | tr -d '\n')

lines() {
  case $file in
    \"*\\*) failure -32003 'names with escapes are not read here' '{"pointer":"/file"}' && return ;;
    \"*\") ;;
    *) failure -32003 'file must be a string' '{"pointer":"/file"}' && return ;;
  esac
  name=${file#\"}
  name=${name%\"}
  if [ -f "$name" ] && [ -r "$name" ]; then
    result "{\"output\":$(wc -l <"$name" | tr -d ' ')}"
  else
    failure -32003 "there is no file $name" '{"pointer":"/file"}'
  fi
}

while IFS= read -r line; do
  id='' method='' component='' file=''
  { read -r id && read -r method && read -r component && read -r file; } <<EOF
$(members "$line")
EOF
  # Without a method it is an answer, and nothing was asked; without an id a notification, which nobody waits for.
  [ -n "$method" ] && [ -n "$id" ] || continue
  case $method:$component in
    '"initialize":'*) result '{"serverProtocolVersion":1,"serverInfo":{"name":"shell-plain","version":"1"},"capabilities":{"capacity":1}}' ;;
    '"components/list":'*) result "{\"components\":[$info]}" ;;
    '"components/info":"/lines"') result "{\"info\":$info}" ;;
    '"components/execute":"/lines"') lines ;;
    '"components/info":'* | '"components/execute":'*) failure -32001 'there is no such component; this server has /lines' ;;
    *) failure -32601 'unknown method' ;;
  esac
done
