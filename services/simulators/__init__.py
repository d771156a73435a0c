"""Stand-ins for FCM, APNs, an SMS gateway and a mail server that speak the real protocols."""
