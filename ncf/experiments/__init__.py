"""Pipeline runs in MLflow. It is optional, and the only room that imports mlflow."""
