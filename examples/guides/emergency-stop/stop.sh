terraform apply -invoke=action.nhi_suspend.stop -var=identity=billing-agent
