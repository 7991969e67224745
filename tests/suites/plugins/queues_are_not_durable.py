"""A pytest plugin. The bridge keeps no messages of workers' own queues beyond its process, so kombu's must not be durable."""
import kombu

kombu.Queue.durable = False
