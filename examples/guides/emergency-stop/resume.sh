terraform apply -invoke=action.nhi_resume.resume -var=identity=billing-agent
