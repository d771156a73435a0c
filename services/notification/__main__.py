"""Start the notification service: `python -m services.notification`."""

from services.notification.bootstrap import build
from services.notification.settings import NotificationSettings
from services.runtime.process import run

if __name__ == "__main__":
    run("notification", NotificationSettings, build)
