#!/bin/sh
# A component server of the shell: /echo gives its input back. Ids and inputs are cut out of the line as text.
while IFS= read -r line; do
  rest=${line#*\"id\":}
  id=${rest%%,*}
  case $line in
    *'"method":"initialize"'*) result='{"serverProtocolVersion":1,"capabilities":{"capacity":1}}' ;;
    *'"method":"components/list"'*) result='{"components":["/echo"]}' ;;
    *'"method":"components/execute"'*)
      input=${line#*\"input\":}
      result="{\"output\":${input%%,\"attempt\":*}}" ;;
    *) continue ;;
  esac
  printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$result"
done
