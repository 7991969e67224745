"""The work itself. It is the same before and after: it knows neither AWS nor AMQP."""


class Declined(Exception):
    """The card was declined."""


def charge(order):
    if order["amount"] > 500:
        raise Declined(f"{order['amount']} is more than the limit")
    return {"charged": order["amount"]}
