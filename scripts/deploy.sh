#!/usr/bin/env bash
# Deploys this checkout beside the one that runs, switches nginx over, and back again.
#
#   scripts/deploy.sh deploy development|staging|production [--contract]
#   scripts/deploy.sh rollback|verify|status|retire [development|staging|production]
#   scripts/deploy.sh backup FOLDER [development|staging|production]
#
# Settings come from .env.<environment> beside the checkout's other files, or GUILD_ENV_FILE.
# docs/DEPLOYMENT.md says what must be there before.
set -euo pipefail
called_from=$PWD
cd "$(dirname "$0")/.."

usage() {
  sed -n '4,6s/^# *//p' "$0" >&2
  exit 2
}

[[ $# -ge 1 ]] || usage
verb=$1
shift
arguments=()
case $verb in
  deploy) [[ $# -ge 1 ]] || usage ;;
  backup)
    [[ $# -ge 1 ]] || usage
    folder=$1
    [[ $folder == /* ]] || folder=$called_from/$folder
    arguments+=("$folder")
    shift
    ;;
  rollback | verify | status | retire) ;;
  *) usage ;;
esac

environment=${1:-${ENV:-production}}
[[ $# -eq 0 ]] || shift
case $environment in
  development | staging | production) ;;
  *) usage ;;
esac

file=${GUILD_ENV_FILE:-.env.$environment}
if [[ ! -r $file ]]; then
  echo "$file cannot be read: write the settings of $environment there" >&2
  exit 1
fi
[[ $file == */* ]] || file=./$file # else it is looked for in PATH first
set -a
# shellcheck disable=SC1090  # the operator's own file
. "$file"
ENV=$environment
set +a

python=.venv/bin/python
[[ -x $python ]] || python=python3
if [[ $verb == backup ]]; then
  exec "$python" -m cluster.cli backup "${arguments[@]}" "$@"
fi
exec "$python" -m cluster.rollout "$verb" "$@"
