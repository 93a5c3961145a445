#!/usr/bin/env -S kubectl apply -f
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '0'
spec:
  backoffLimit: 0
  parallelism: 1
  completions: 1
  template:
    metadata:
      labels:
        app.kubernetes.io/managed-by: clustrix
        clustrix/job: 0123456789abcdef
        clustrix/round: '0'
        clustrix/name: simulate-0123456789abcdef
        clustrix/task: '0'
    spec:
      restartPolicy: Never
      automountServiceAccountToken: false
      enableServiceLinks: false
      containers:
      - name: task
        image: python:3.11-slim
        command:
        - python3
        - /scratch/ada/work/jobs/01/0123456789abcdef/sharing.py
        - /scratch/ada/work/jobs/01/0123456789abcdef
        - /clustrix-in/job/job-0.sh
        - '0'
        - '0'
        - '5400'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '0'
        resources:
          requests:
            cpu: 3990m
            memory: '1610612736'
            nvidia.com/gpu: '2'
          limits:
            cpu: '4'
            memory: '1610612736'
            nvidia.com/gpu: '2'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
      activeDeadlineSeconds: 9000
  ttlSecondsAfterFinished: 604800
---
apiVersion: v1
kind: Secret
metadata:
  name: simulate-0123456789abcdef
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
stringData:
  job-0.sh: |
    #!/bin/sh
    cd "." || exit 72
    clustrix_here=$(pwd)
    clustrix_task="0"
    exec >>"log-0.$clustrix_task" 2>&1
    [ ! -e "$clustrix_here/status-0.$clustrix_task" ] || rm -f "$clustrix_here/status-0.$clustrix_task"
    clustrix_told= clustrix_worker=
    trap 'clustrix_told=1; [ -z "$clustrix_worker" ] || kill "$clustrix_worker" 2>/dev/null' TERM
    trap 'clustrix_code=$?; printf "EXIT %s\n" "$clustrix_code" >"$clustrix_here/status-0.$clustrix_task".new && command -p mv "$clustrix_here/status-0.$clustrix_task".new "$clustrix_here/status-0.$clustrix_task"' EXIT
    export CLUSTRIX_JOB=0123456789abcdef CLUSTRIX_TASK="$clustrix_task" CLUSTRIX_SCHEDULER_ID="$HOSTNAME" CLUSTRIX_STARTED=$(date +%s)
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
