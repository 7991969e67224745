"""Before: a worker that polls SWF. Usage: before_swf.py DOMAIN TASK_LIST"""
import json, sys, threading
import boto3
from botocore.config import Config
from charge import Declined, charge

swf = boto3.client("swf", config=Config(read_timeout=70))  # SWF holds a poll for 60 s


def keep_alive(token, over):
    while not over.wait(10):
        swf.record_activity_task_heartbeat(taskToken=token)


while True:
    task = swf.poll_for_activity_task(domain=sys.argv[1], taskList={"name": sys.argv[2]})
    token = task.get("taskToken")
    if not token:
        continue
    over = threading.Event()
    threading.Thread(target=keep_alive, args=(token, over), daemon=True).start()
    try:
        result = charge(json.loads(task["input"]))
        swf.respond_activity_task_completed(taskToken=token, result=json.dumps(result))
    except Declined as declined:
        swf.respond_activity_task_failed(taskToken=token, reason="declined", details=str(declined))
    finally:
        over.set()
