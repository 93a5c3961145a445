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
        - '0'
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
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
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
        - '0'
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
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
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
        - '0'
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
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-3
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '3'
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
        clustrix/task: '3'
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
        - '3'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '3'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-4
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '4'
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
        clustrix/task: '4'
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
        - '4'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '4'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-5
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '5'
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
        clustrix/task: '5'
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
        - '5'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '5'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-6
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '6'
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
        clustrix/task: '6'
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
        - '6'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '6'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-7
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '7'
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
        clustrix/task: '7'
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
        - '7'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '7'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-8
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '8'
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
        clustrix/task: '8'
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
        - '8'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '8'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-9
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '9'
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
        clustrix/task: '9'
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
        - '9'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '9'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-10
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '10'
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
        clustrix/task: '10'
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
        - '10'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '10'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-11
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '11'
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
        clustrix/task: '11'
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
        - '11'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '11'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-12
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '12'
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
        clustrix/task: '12'
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
        - '12'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '12'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-13
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '13'
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
        clustrix/task: '13'
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
        - '13'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '13'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-14
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '14'
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
        clustrix/task: '14'
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
        - '14'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '14'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-15
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '15'
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
        clustrix/task: '15'
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
        - '15'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '15'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-16
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '16'
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
        clustrix/task: '16'
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
        - '16'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '16'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-17
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '17'
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
        clustrix/task: '17'
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
        - '17'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '17'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-18
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '18'
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
        clustrix/task: '18'
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
        - '18'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '18'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-19
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '19'
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
        clustrix/task: '19'
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
        - '19'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '19'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-20
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '20'
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
        clustrix/task: '20'
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
        - '20'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '20'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-21
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '21'
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
        clustrix/task: '21'
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
        - '21'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '21'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-22
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '22'
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
        clustrix/task: '22'
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
        - '22'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '22'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
  ttlSecondsAfterFinished: 604800
---
apiVersion: batch/v1
kind: Job
metadata:
  name: simulate-0123456789abcdef-23
  labels:
    app.kubernetes.io/managed-by: clustrix
    clustrix/job: 0123456789abcdef
    clustrix/round: '0'
    clustrix/name: simulate-0123456789abcdef
    clustrix/task: '23'
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
        clustrix/task: '23'
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
        - '23'
        - '0'
        volumeMounts:
        - name: work
          mountPath: /scratch/ada
        - name: job
          mountPath: /clustrix-in/job
          readOnly: true
        env:
        - name: CLUSTRIX_POD_TASK
          value: '23'
        resources:
          requests:
            cpu: 990m
          limits:
            cpu: '1'
      volumes:
      - name: work
        persistentVolumeClaim:
          claimName: shared
      - name: job
        secret:
          secretName: simulate-0123456789abcdef
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
