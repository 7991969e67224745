"""Before: a worker that polls Step Functions. Usage: before_step_functions.py ACTIVITY_ARN"""
import json, sys, threading
import boto3
from botocore.config import Config
from charge import Declined, charge

sfn = boto3.client("stepfunctions", config=Config(read_timeout=70))  # Step Functions holds a poll for 60 s


def keep_alive(token, over):
    while not over.wait(10):
        sfn.send_task_heartbeat(taskToken=token)


while True:
    task = sfn.get_activity_task(activityArn=sys.argv[1])
    token = task.get("taskToken")
    if not token:
        continue
    over = threading.Event()
    threading.Thread(target=keep_alive, args=(token, over), daemon=True).start()
    try:
        result = charge(json.loads(task["input"]))
        sfn.send_task_success(taskToken=token, output=json.dumps(result))
    except Declined as declined:
        sfn.send_task_failure(taskToken=token, error="declined", cause=str(declined))
    finally:
        over.set()
