#!/usr/bin/env -S kubectl apply -f
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-0
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
        - '90061'
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
            cpu: 15990m
            memory: '8589934592'
          limits:
            cpu: '16'
            memory: '8589934592'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
      activeDeadlineSeconds: 93661
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-1
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '1'
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
        clustrix/task: '1'
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
        - '1'
        - '90061'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '1'
        resources:
          requests:
            cpu: 15990m
            memory: '8589934592'
          limits:
            cpu: '16'
            memory: '8589934592'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
      activeDeadlineSeconds: 93661
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-2
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '2'
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
        clustrix/task: '2'
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
        - '2'
        - '90061'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '2'
        resources:
          requests:
            cpu: 15990m
            memory: '8589934592'
          limits:
            cpu: '16'
            memory: '8589934592'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
      activeDeadlineSeconds: 93661
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
    clustrix_task="${CLUSTRIX_POD_TASK:-0}"
    exec >>"log-0.$clustrix_task" 2>&1
    [ ! -e "$clustrix_here/status-0.$clustrix_task" ] || rm -f "$clustrix_here/status-0.$clustrix_task"
    clustrix_told= clustrix_worker=
    trap 'clustrix_told=1; [ -z "$clustrix_worker" ] || kill "$clustrix_worker" 2>/dev/null' TERM
    trap 'clustrix_code=$?; printf "EXIT %s\n" "$clustrix_code" >"$clustrix_here/status-0.$clustrix_task".new && command -p mv "$clustrix_here/status-0.$clustrix_task".new "$clustrix_here/status-0.$clustrix_task"' EXIT
    export CLUSTRIX_JOB=0123456789abcdef CLUSTRIX_TASK="$clustrix_task" CLUSTRIX_SCHEDULER_ID="$HOSTNAME" CLUSTRIX_STARTED=$(date +%s)
    cd "$clustrix_here" || exit 72
    [ -z "$clustrix_told" ] || exit 143
    python3 "${clustrix_here%/*/*/*}/worker/WORKER" run 0 "$clustrix_task" &
    clustrix_worker=$!
    wait "$clustrix_worker"; clustrix_code=$?
    while [ "$clustrix_code" -gt 128 ] && kill -0 "$clustrix_worker" 2>/dev/null; do wait "$clustrix_worker"; clustrix_code=$?; done
    exit "$clustrix_code"
