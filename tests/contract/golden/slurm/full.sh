#!/bin/bash
#SBATCH --job-name=simulate-0123456789abcdef
#SBATCH --output=log-0.0
#SBATCH --open-mode=append
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --cpus-per-task=4
#SBATCH --nodes=2
#SBATCH --mem=1536M
#SBATCH --time=01:30:00
#SBATCH --gres=gpu:2
#SBATCH --partition=short
#SBATCH --account=physics
#SBATCH --qos=high
#SBATCH --constraint=intel
#SBATCH --exclusive
#SBATCH --mail-type=END
#SBATCH --comment="two words"
cd "$SLURM_SUBMIT_DIR" || exit 72
clustrix_here=$(pwd)
clustrix_task="0"
[ ! -e "$clustrix_here/status-0.$clustrix_task" ] || rm -f "$clustrix_here/status-0.$clustrix_task"
clustrix_told= clustrix_worker=
trap 'clustrix_told=1; [ -z "$clustrix_worker" ] || kill "$clustrix_worker" 2>/dev/null' TERM
trap 'clustrix_code=$?; printf "EXIT %s\n" "$clustrix_code" >"$clustrix_here/status-0.$clustrix_task".new && command -p mv "$clustrix_here/status-0.$clustrix_task".new "$clustrix_here/status-0.$clustrix_task"' EXIT
export CLUSTRIX_JOB=0123456789abcdef CLUSTRIX_TASK="$clustrix_task" CLUSTRIX_SCHEDULER_ID="$SLURM_JOB_ID" CLUSTRIX_STARTED=$(date +%s)
export OMP_NUM_THREADS=4
export MESSAGE='it'"'"'s $HOME
and more'
command -v module >/dev/null 2>&1 || . /etc/profile
command -v module >/dev/null 2>&1 || { echo clustrix: there is no module command >&2; exit 127; }
set -e
module load gcc/12.2.0 openmpi
source ~/venv/bin/activate
ulimit -c 0
set +e
cd "$clustrix_here" || exit 72
[ -z "$clustrix_told" ] || exit 143
python3 "${clustrix_here%/*/*/*}/worker/WORKER" run 0 "$clustrix_task" &
clustrix_worker=$!
wait "$clustrix_worker"; clustrix_code=$?
while [ "$clustrix_code" -gt 128 ] && kill -0 "$clustrix_worker" 2>/dev/null; do wait "$clustrix_worker"; clustrix_code=$?; done
rm -rf /tmp/ada
exit "$clustrix_code"
